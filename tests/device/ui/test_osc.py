"""OSC: messages become commands of the control socket, states become messages."""

import json
import signal
import socket
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pythonosc")

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder, build_msg
from pythonosc.osc_packet import OscPacket

from device.cli import main
from device.ui.osc import MOST_PER_SECOND, OscBridge, OscError, command_of, messages_of

COMMAND = Path(sys.executable).parent / "switchboard"
LOOPBACK = "127.0.0.1"
STATE = {"switches": "010", "bar": 3, "beat": 1, "tempo_bpm": 80.0, "gain_db": -3.0, "share": "x"}
SECONDS = 20.0


@pytest.mark.parametrize(
    ("address", "values", "command"),
    [
        ("/switch/1", [1], {"do": "set", "switch": 1, "on": True}),
        ("/switch/16", [0.0], {"do": "set", "switch": 16, "on": False}),
        ("/switch/2", [True], {"do": "set", "switch": 2, "on": True}),
        ("/flip/3", [], {"do": "flip", "switch": 3}),
        ("/flip/3", [1.0], {"do": "flip", "switch": 3}),
        ("/flip/3", [0.0], None),
        ("/tempo", [72], {"do": "tempo", "bpm": 72.0}),
        ("/volume", [-6.5], {"do": "volume", "gain_db": -6.5}),
        ("/keep", [], {"do": "keep"}),
        ("/keep", [0], None),
        ("/scene", ["rain"], {"do": "scene", "name": "rain"}),
        ("/scene/rain", [1], {"do": "scene", "name": "rain"}),
        ("/scene/rain", [0], None),
        ("/sleep", [30], {"do": "sleep", "minutes": 30.0}),
    ],
)
def test_a_message_becomes_a_command(address, values, command):
    assert command_of(address, values) == command


@pytest.mark.parametrize(
    ("address", "values"),
    [
        ("/switch/0", [1]),
        ("/switch/x", [1]),
        ("/switch/²", [1]),
        ("/switch/1", []),
        ("/switch/1", ["on"]),
        ("/switch/1/2", [1]),
        ("/tempo", [float("nan")]),
        ("/tempo", [80, 90]),
        ("/scene", ["x" * 81]),
        ("/model", ["other.onnx"]),
        ("", []),
    ],
)
def test_any_other_message_is_refused(address, values):
    with pytest.raises(ValueError, match="expected"):
        command_of(address, values)


@given(
    st.text(max_size=30), st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=9))
)
def test_a_message_of_any_kind_is_a_short_command_or_refused(address, values):
    try:
        command = command_of(f"/{address}", values)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert len(json.dumps(command, ensure_ascii=False).encode()) < 512


def test_what_changed_is_sent_and_nothing_else():
    changed = {**STATE, "switches": "011", "bar": 4}
    assert messages_of(changed, STATE) == {"/switch/3": 1, "/bar": 4}
    assert messages_of(STATE, {}) == {
        "/switch/1": 0,
        "/switch/2": 1,
        "/switch/3": 0,
        "/bar": 3,
        "/beat": 1,
        "/tempo": 80.0,
        "/volume": -3.0,
    }
    assert messages_of({"switches": 7, "bar": None, "tempo_bpm": "fast"}, {}) == {}


class Instrument:
    """The instrument's end of the control socket."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(SECONDS)
        self.client = None
        self.lines = None

    def accept(self):
        self.client, _ = self.listener.accept()
        self.client.settimeout(SECONDS)
        self.lines = self.client.makefile("rb")

    def read(self):
        if self.client is None:
            self.accept()
        return json.loads(self.lines.readline())

    def send(self, *contents):
        for content in contents:
            self.client.sendall(json.dumps(content).encode() + b"\n")

    def close(self):
        for part in (self.lines, self.client, self.listener):
            if part is not None:
                part.close()


@pytest.fixture
def instrument(tmp_path):
    instrument = Instrument(tmp_path / "control.sock")
    yield instrument
    instrument.close()


@pytest.fixture
def controller():
    """A controller's socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as controller:
        controller.bind((LOOPBACK, 0))
        controller.settimeout(SECONDS)
        yield controller


@pytest.fixture
def start(tmp_path):
    """Starts `switchboard osc`; its process and its port."""
    processes = []

    def start(*words):
        # A shell's background job ignores the signal, and so would what it starts.
        command = ["env", "--default-signal=INT", COMMAND, "osc", "--control"]
        command += [tmp_path / "control.sock", "--port", "0", *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        line = process.stdout.readline()
        return process, int(line.partition("UDP port ")[2].partition(";")[0])

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_controller_plays_and_sees_what_is_played(start, instrument, controller):
    target = f"{LOOPBACK}:{controller.getsockname()[1]}"
    process, port = start("--send", target)
    instrument.accept()
    controller.sendto(build_msg("/switch/2", [1]).dgram, (LOOPBACK, port))
    assert instrument.read() == {"do": "set", "switch": 2, "on": True}
    instrument.send({"scenes": []}, {"card": {"title": "x"}}, {"state": STATE})
    received = {
        message.message.address: message.message.params
        for _ in range(7)
        for message in OscPacket(controller.recv(1024)).messages
    }
    assert received["/switch/2"] == [1]
    assert received["/tempo"] == [80.0]
    process.send_signal(signal.SIGINT)
    assert process.wait(SECONDS) == 130


def test_it_waits_for_an_instrument_and_takes_it_when_it_comes(start, tmp_path, controller):
    process, port = start()
    controller.sendto(build_msg("/keep", []).dgram, (LOOPBACK, port))
    assert "is it playing, with --control?" in process.stderr.readline()
    instrument = Instrument(tmp_path / "control.sock")
    controller.sendto(build_msg("/keep", []).dgram, (LOOPBACK, port))
    assert instrument.read() == {"do": "keep"}
    instrument.close()


@pytest.fixture
def udp():
    """A bridge's own socket."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((LOOPBACK, 0))
    return udp


def carry(bridge, controller, udp, *datagrams):
    for datagram in datagrams:
        controller.sendto(datagram, udp.getsockname())
        bridge.serve(1.0)


def test_damaged_and_large_datagrams_stop_nothing(udp, instrument, controller, tmp_path):
    bundle = OscBundleBuilder(IMMEDIATELY)
    bundle.add_content(build_msg("/flip/1", []))
    damaged = [
        b"",
        b"/x",
        b"\xff" * 40,
        b"#bundle\0",
        b"x" * 5000,
        build_msg("/model", ["x"]).dgram,
    ]
    with OscBridge(
        udp, tmp_path / "control.sock", allowed=[IPv4Network(LOOPBACK)], report=[].append
    ) as bridge:
        carry(bridge, controller, udp, *damaged, bundle.build().dgram)
        assert instrument.read() == {"do": "flip", "switch": 1}


def test_a_sender_that_is_not_allowed_is_named_once(udp, controller, tmp_path):
    lines = []
    with OscBridge(
        udp, tmp_path / "none", allowed=[IPv4Network("10.0.0.0/8")], report=lines.append
    ) as bridge:
        carry(bridge, controller, udp, *[build_msg("/keep", []).dgram] * 3)
    assert lines == ["127.0.0.1: not allowed to send; see --allow"]


def test_a_flood_is_cut_off(udp, instrument, controller, tmp_path):
    lines = []
    with OscBridge(
        udp,
        tmp_path / "control.sock",
        allowed=[IPv4Network(LOOPBACK)],
        report=lines.append,
        clock=lambda: 100.0,
    ) as bridge:
        flip = build_msg("/flip/1", []).dgram
        for _ in range(MOST_PER_SECOND):
            carry(bridge, controller, udp, flip)
            assert instrument.read() == {"do": "flip", "switch": 1}
        carry(bridge, controller, udp, flip, flip)
    assert len(lines) == 2
    assert "dropped" in lines[1]
    assert instrument.lines.readlines() == []


def test_an_instrument_that_goes_is_taken_again(udp, instrument, controller, tmp_path):
    keep = build_msg("/keep", []).dgram
    lines = []
    with OscBridge(
        udp, tmp_path / "control.sock", allowed=[IPv4Network(LOOPBACK)], report=lines.append
    ) as bridge:
        carry(bridge, controller, udp, keep)
        assert instrument.read() == {"do": "keep"}
        instrument.send({"error": "found \x1b[2J, expected a command"})
        bridge.serve(1.0)
        assert lines[-1] == r"refused: found \x1b[2J, expected a command"
        instrument.lines.close()
        instrument.client.close()
        bridge.serve(1.0)
        assert "closed" in lines[-1]
        instrument.client = None
        carry(bridge, controller, udp, keep)
        assert instrument.read() == {"do": "keep"}


def test_it_listens_on_the_loopback_unless_senders_are_named(capsys):
    assert main(["osc", "--listen", "0.0.0.0"]) == 2
    assert "needs --allow" in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(udp, capsys):
    port = str(udp.getsockname()[1])
    assert main(["osc", "--port", port]) == OscError.exit_code
    assert "choose another --port" in capsys.readouterr().err
    udp.close()


def test_a_typed_message_of_a_controller_is_understood():
    builder = OscMessageBuilder("/switch/1")
    builder.add_arg(True)
    [message] = OscPacket(builder.build().dgram).messages
    assert command_of(message.message.address, list(message.message.params))["on"] is True

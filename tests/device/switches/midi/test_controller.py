"""Ports that come and go, what arrives on them, and the lights that are sent back."""

import time
from pathlib import Path

import pytest

from device.switches import commands
from device.switches.commands import CommandQueue
from device.switches.midi import ports as ports_module
from device.switches.midi.controller import MidiController
from device.switches.midi.mapping import MidiMapping
from device.switches.midi.ports import MidiPorts
from tests.support.midi_port import MidiPort
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(ports_module, "RESCAN_SECONDS", 0.02)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "snd"


@pytest.fixture
def connect(folder):
    opened = []

    def connect(wanted="auto", mapping=None, **options):
        queue, lines = CommandQueue(), []
        controller = MidiController(
            wanted, mapping or MidiMapping(), queue, report=lines.append, devices=folder, **options
        )
        opened.append(controller)
        return controller, queue, lines

    yield connect
    for controller in opened:
        controller.close()


def taken(queue):
    wait_until(lambda: queue)
    return queue.take()


def test_a_note_becomes_a_command(folder, connect):
    with MidiPort(folder) as port:
        _, queue, lines = connect()
        port.play(0x90, 38, 100)
        assert taken(queue) == commands.FlipSwitch(2, "midi")
        assert lines == [f"MIDI port midiC0D0 ({port.path}) is there"]


def test_ports_may_come_go_and_come_back_while_it_plays(folder, connect):
    controller, queue, lines = connect()
    assert controller.ports.names == []
    for _ in range(2):
        with MidiPort(folder) as port:
            wait_until(lambda: controller.ports.names == ["midiC0D0"])
            port.play(0x90, 36, 100)
            assert taken(queue) == commands.FlipSwitch(0, "midi")
        wait_until(lambda: controller.ports.names == [])
    assert [line.split(") ")[-1] for line in lines][::2] == ["is there", "is there"]
    assert all("is gone" in line for line in lines[1::2])


def test_a_message_that_a_port_did_not_end_is_not_continued_by_another(folder, connect):
    _, queue, _ = connect()
    with MidiPort(folder, 1) as one, MidiPort(folder, 2) as other:
        one.play(0x90, 36)
        other.play(50, 0x90, 37, 100)
        assert taken(queue) == commands.FlipSwitch(1, "midi")
        one.play(100)
        assert taken(queue) == commands.FlipSwitch(0, "midi")


def test_a_port_is_chosen_by_a_part_of_its_name_or_by_its_path(folder, tmp_path):
    cards = tmp_path / "asound/card2"
    cards.mkdir(parents=True)
    (cards / "midi0").write_text("nanoKONTROL2\n\nOutput 0\n")
    for wanted, expected in (
        ("KONTROL", ["nanoKONTROL2"]),
        ("auto", ["midiC1D0", "nanoKONTROL2"]),
        (str(folder / "midiC1D0"), ["midiC1D0"]),
        ("drum", []),
    ):
        with (
            MidiPort(folder, 1),
            MidiPort(folder, 2),
            MidiPorts(
                wanted, print, report=lambda _: None, devices=folder, cards=cards.parent
            ) as ports,
        ):
            wait_until(lambda: ports._rescan_at > 0)
            assert sorted(ports.names) == expected


def test_a_port_that_cannot_be_opened_is_reported_once(folder, connect):
    folder.mkdir()
    (folder / "midiC3D0").mkdir()
    (folder / "midiC3D1").symlink_to("/dev/nothing")
    _, _, lines = connect()
    time.sleep(0.2)
    refused = [line for line in lines if "expected a port that opens" in line]
    assert len(refused) == len({line.split(":")[0] for line in refused})


def test_lights_follow_the_switches_and_go_out_at_the_end(folder, connect):
    controller, _, _ = connect(has_lights=True)
    controller.show((True, False))
    with MidiPort(folder) as port:
        port.wait_for(bytes((0x90, 36, 127, 0x90, 37, 0)))
        controller.show((True, True))
        port.wait_for(bytes((0x90, 37, 127)))
        n_before = len(port.received())
        controller.show((True, True))
        controller.show((False, True))
        port.wait_for(bytes((0x90, 36, 0)))
        assert len(port.received()) == n_before + 3
        controller.close()
        port.wait_for(bytes((0x90, 36, 0, 0x90, 37, 0))[3:])


def test_without_lights_nothing_is_sent(folder, connect):
    controller, queue, _ = connect()
    with MidiPort(folder) as port:
        controller.show((True, False))
        port.play(0x90, 36, 100)
        taken(queue)
        assert port.received() == b""


def test_real_time_messages_come_with_their_time(folder, connect):
    received = []
    connect(real_time=lambda message, at, _: received.append((message.status, at)))
    with MidiPort(folder) as port:
        before = time.monotonic()
        port.play(0xFA, 0xF8)
        wait_until(lambda: len(received) == 2)
    assert [status for status, _ in received] == [0xFA, 0xF8]
    assert all(before <= at <= time.monotonic() for _, at in received)


def test_it_sleeps_while_nothing_comes(folder, connect, monkeypatch):
    monkeypatch.setattr(ports_module, "RESCAN_SECONDS", 30.0)
    with MidiPort(folder):
        controller, _, _ = connect()
        wait_until(lambda: controller.ports.names)
        n_steps, step = [], controller.ports._step
        controller.ports._helper._step = lambda: (n_steps.append(1), step())
        controller.ports.wake()
        wait_until(lambda: n_steps)
        time.sleep(0.3)
        assert len(n_steps) <= 2


def test_closing_twice_is_fine_and_leaves_no_file_open(folder, connect):
    with MidiPort(folder):
        before = len(list(Path("/proc/self/fd").iterdir()))
        controller, _, _ = connect()
        wait_until(lambda: controller.ports.names)
        controller.close()
        controller.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before

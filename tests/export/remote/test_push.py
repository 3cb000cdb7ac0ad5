"""The workstation's side of a push, with devices that answer well, badly and not at all."""

import json
import os
import sys
import threading
from pathlib import Path

import pytest

from device import errors
from device.cli import main
from device.model.contract import CONTRACT_VERSION
from device.store.store import ModelStore
from export.remote.box_client import Box
from export.remote.push import Model, push, push_all
from export.remote.ssh import BadHost, ConnectionLost, Host, HostUnreachable, Line, NoSwitchboard
from tests.support import tiny_model as tiny

READY = {
    "event": "ready",
    "protocol": 1,
    "contract_version": CONTRACT_VERSION,
    "max_bytes": 1 << 24,
    "free_bytes": 1 << 30,
    "active": None,
}
VERDICT = {
    "event": "verdict",
    "accepted": True,
    "sha256": "",
    "check": "",
    "reason": "",
    "exit_code": 0,
    "seconds": 1.5,
    "figures": {"title": "Tiny test model"},
}
REFUSED = {
    **VERDICT,
    "accepted": False,
    "check": "sound",
    "reason": "model state 000: found numbers that are not finite, expected sound",
    "exit_code": errors.InvalidAudio.exit_code,
    "figures": {},
}
SEND = {"event": "send"}


@pytest.fixture
def fake_ssh(tmp_path, monkeypatch):
    """Makes a program named ssh of some lines of Python; its calls are logged."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    head = (
        f"#!{sys.executable} -S\n"
        "import json, os, sys, time\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "def send(*events):\n"
        "    for event in events: print(json.dumps(event), flush=True)\n"
        "def read_header(): return sys.stdin.buffer.readline()\n"
    )

    def make(body):
        program = folder / "ssh"
        program.write_text(head + body)
        program.chmod(0o755)
        return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]

    return make


@pytest.fixture
def model(tiny_model):
    return Model.open(tiny_model)


def answering(*events, header=True):
    """A device that sends these events, whatever it receives."""
    waits = "read_header()\n" if header else ""
    return f"send({READY!r})\n{waits}send(*{list(events)!r})\nsys.stdin.buffer.read()\n"


STUDIO = Host("switchboard", "studio")


# -- a device that answers ---------------------------------------------------------------------


def test_the_device_gets_every_byte_and_makes_it_the_model_that_plays(
    fake_ssh, tiny_model, tmp_path
):
    """The real `receive` instead of a connection."""
    store, model = ModelStore(tmp_path / "store"), Model.open(tiny_model)
    fake_ssh(
        f"os.execv({sys.executable!r}, [{sys.executable!r}, '-c',"
        " 'import sys; from device.cli import main; sys.exit(main(sys.argv[1:]))',"
        f" 'receive', '--store', {str(store.directory)!r}])\n"
    )
    reports = []
    verdict = push(model, STUDIO, Line(), report=lambda step, done: reports.append((step, done)))
    assert verdict.accepted
    assert verdict.figures["title"] == "Tiny test model"
    assert store.active().read_bytes() == tiny_model.read_bytes()
    assert [step for step, _ in reports][:3] == ["connecting", "sending", "sending"]
    assert ("sending", 1.0) in reports
    assert "checking sound" in [step for step, _ in reports]
    again = push(model, STUDIO, Line())
    assert again.accepted
    assert again.seconds == 0


def test_ssh_is_called_with_the_key_that_pairing_made(fake_ssh, tiny_model, tmp_path, capsys):
    key = tmp_path / "config" / "switchboard" / "id_ed25519"
    key.parent.mkdir(parents=True)
    key.touch()
    called = fake_ssh(answering(VERDICT))
    assert main(["push", "studio", str(tiny_model), "--port", "2222"]) == 0
    (arguments,) = called()
    assert arguments[arguments.index("-i") + 1] == str(key)
    assert arguments[arguments.index("-p") + 1] == "2222"
    assert arguments[arguments.index("--") :] == ["--", "studio", "switchboard", "receive"]
    assert "studio: plays 'Tiny test model'" in capsys.readouterr().out


def test_without_a_key_of_its_own_ssh_chooses(fake_ssh, tiny_model):
    called = fake_ssh(answering(VERDICT))
    assert main(["push", "me@studio", str(tiny_model)]) == 0
    (arguments,) = called()
    assert "-i" not in arguments
    assert arguments[arguments.index("-l") + 1] == "me"


def test_a_refusal_is_one_line_with_the_status_of_its_cause(fake_ssh, tiny_model, capsys):
    fake_ssh(answering(SEND, REFUSED))
    assert main(["push", "studio", str(tiny_model)]) == errors.InvalidAudio.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("switchboard: studio: refused at sound: model state 000: found numbers")
    assert err.count("\n") == 1


def test_a_full_disk_of_the_device_is_reported_as_its_refusal(fake_ssh, tiny_model, capsys):
    reason = "/var/lib/switchboard/models: found room for 0 bytes, expected 9; make room"
    full = {**REFUSED, "check": "delivery", "reason": reason, "exit_code": 31}
    fake_ssh(answering(full))
    assert main(["push", "studio", str(tiny_model)]) == errors.StoreFull.exit_code
    assert "found room for 0 bytes, expected 9; make room" in capsys.readouterr().err


def test_a_device_may_close_the_connection_after_its_verdict(fake_ssh, tmp_path):
    """The model is larger than a pipe, so that it is still being sent at that moment."""
    path = tiny.build(tmp_path / "big.onnx", n_switches=12, beats_per_loop=256)
    assert path.stat().st_size > 1 << 18
    fake_ssh(f"send({READY!r})\nread_header()\nsend({SEND!r}, {REFUSED!r})\n")
    before = set(threading.enumerate())
    with pytest.raises(errors.InvalidAudio):
        push(Model.open(path), STUDIO, Line()).check_accepted("studio")
    assert set(threading.enumerate()) <= before


def test_again_is_requested(fake_ssh, model, tmp_path):
    received = tmp_path / "received"
    body = f"open({str(received)!r}, 'wb').write(read_header())\nsend({VERDICT!r})\n"
    fake_ssh(f"send({READY!r})\n{body}")
    push(model, STUDIO, Line(), again=True)
    assert json.loads(received.read_bytes()) == {
        "sha256": model.sha256,
        "n_bytes": len(model.content),
        "again": True,
    }


def test_what_a_login_prints_is_skipped(fake_ssh, model):
    fake_ssh("print('Welcome to the studio!')\nprint('[1, 2]')\n" + answering(VERDICT))
    assert push(model, STUDIO, Line()).accepted


# -- a device that does not --------------------------------------------------------------------


def lost(message, error=ConnectionLost):
    return pytest.raises(error, match=message)


def test_a_connection_that_breaks_half_way_is_named(fake_ssh, model):
    body = f"send({READY!r})\nread_header()\nsend({SEND!r})\nsys.stdin.buffer.read(100)\n"
    end = "print('client_loop: send disconnect: Broken pipe', file=sys.stderr)\nsys.exit(255)\n"
    fake_ssh(body + end)
    with lost(
        "studio: found 'client_loop: .*Broken pipe'; the device plays on as before; push again"
    ):
        push(model, STUDIO, Line())


def test_the_wait_for_a_silent_device_is_limited(fake_ssh):
    fake_ssh(f"send({READY!r})\ntime.sleep(600)\n")
    device = Box(STUDIO, Line(), silence_seconds=0.5)
    with device, lost("studio: found no message for 0 s, expected a verdict"):
        device.greeting()
        next(device.answers())
    device.close()


def test_a_program_that_does_not_speak_the_protocol_is_named(fake_ssh, model):
    fake_ssh("print('hello')\nsys.exit(3)\n")
    with lost("studio: found 'hello', expected `switchboard receive`", NoSwitchboard):
        push(model, STUDIO, Line())


@pytest.mark.parametrize(
    ("ready", "error", "message"),
    [
        ({**READY, "protocol": 2}, NoSwitchboard, "found protocol 2, expected 1; bring device and"),
        ({**READY, "contract_version": 1}, errors.ContractError, "up to contract version 1, expe"),
        ({**READY, "contract_version": "x"}, errors.ContractError, "up to contract version x, ex"),
        ({"event": "ready"}, NoSwitchboard, "found protocol None, expected 1"),
        ({"event": "verdict"}, NoSwitchboard, "found another program than `switchboard receive`"),
    ],
)
def test_a_device_of_another_version_is_reported_before_anything_is_sent(
    fake_ssh, model, tmp_path, ready, error, message
):
    received = tmp_path / "received"
    fake_ssh(f"send({ready!r})\nopen({str(received)!r}, 'wb').write(sys.stdin.buffer.read())\n")
    with lost(message, error):
        push(model, STUDIO, Line())
    assert not received.exists() or received.read_bytes() == b""


MALFORMED = [
    ("a verdict without an end", [{"event": "verdict"}]),
    ("a verdict of wrong types", [{**VERDICT, "accepted": 1}]),
    ("a size that is no number", [SEND, {"event": "received", "n_bytes": "all"}, VERDICT]),
    ("no such event", [{"event": ["send"]}, {"event": "dance"}, VERDICT]),
]


@pytest.mark.parametrize(("name", "events"), MALFORMED, ids=[name for name, _ in MALFORMED])
def test_whatever_a_device_answers_there_is_a_verdict_or_an_error(fake_ssh, model, name, events):
    fake_ssh(answering(*events))
    try:
        assert push(model, STUDIO, Line()).accepted
    except errors.SwitchboardError as error:
        assert "studio: found a verdict without an end" in str(error)


def test_a_line_without_an_end_does_not_fill_our_memory(fake_ssh, model):
    fake_ssh("while True: sys.stdout.write('x' * 65536)\n")
    with lost("studio: found another program than `switchboard receive`", NoSwitchboard):
        push(model, STUDIO, Line())


def test_control_characters_of_a_device_are_removed(fake_ssh, tiny_model, capsys):
    refusal = {**REFUSED, "reason": "\x1b[2J\x1b[31mred\x07 [bold]loud[/bold]\nswitchboard: fine"}
    fake_ssh(answering(refusal))
    assert main(["push", "studio", str(tiny_model)]) != 0
    err = capsys.readouterr().err
    assert err.rstrip("\n").isprintable()
    assert "[bold]loud[/bold]" in err


# -- several devices --------------------------------------------------------------------------


def several(fake_ssh):
    fake_ssh(
        "name = sys.argv[sys.argv.index('--') + 1]\n"
        "if name == 'far':\n"
        "    print('ssh: connect to host far port 22: No route to host', file=sys.stderr)\n"
        "    sys.exit(255)\n"
        f"send({READY!r})\nread_header()\n"
        f"send({REFUSED!r} if name == 'picky' else {VERDICT!r})\n"
    )


def test_a_push_to_several_devices_returns_outcomes_in_the_order_of_the_hosts(fake_ssh, model):
    several(fake_ssh)
    hosts = [Host(None, name) for name in ("near", "far", "picky")]
    near, far, picky = push_all(model, hosts, Line())
    assert near.verdict.accepted
    assert isinstance(far.error, HostUnreachable)
    assert not picky.verdict.accepted
    assert [outcome.host for outcome in (near, far, picky)] == hosts


def test_several_devices_make_a_table_and_the_first_failure_the_status(
    fake_ssh, tiny_model, capsys
):
    several(fake_ssh)
    status = main(["push", "near", "far", "picky", "near", str(tiny_model)])
    out, err = capsys.readouterr()
    assert status == HostUnreachable.exit_code
    assert err == ""
    lines = {line.split()[0]: line for line in out.splitlines() if line[:1].isalpha()}
    assert list(lines) == ["device", "near", "far", "picky"]
    assert "accepted" in lines["near"]
    assert "not reached" in lines["far"]
    assert "refused" in lines["picky"]


def test_hosts_may_be_listed_in_a_file(fake_ssh, tiny_model, tmp_path, capsys):
    several(fake_ssh)
    devices = tmp_path / "devices.txt"
    devices.write_text("near\nnear # twice\npicky\n")
    status = main(["push", "--all-of", str(devices), str(tiny_model)])
    assert status == errors.InvalidAudio.exit_code
    assert capsys.readouterr().out.count("near") == 1


def test_no_host_at_all_is_wrong_usage(tiny_model, capsys):
    assert main(["push", str(tiny_model)]) == 2
    assert "give at least one HOST before MODEL" in capsys.readouterr().err


# -- before a connection is opened -----------------------------------------------------------


def test_a_file_that_breaks_the_contract_opens_no_connection(fake_ssh, tmp_path, capsys):
    called = fake_ssh(answering(VERDICT))
    path = tiny.build(tmp_path / "bad.onnx", golden_offset=0.5)
    assert main(["push", "studio", str(path)]) == errors.GoldenMismatch.exit_code
    assert main(["push", "studio", str(tmp_path / "none.onnx")]) == errors.ModelNotFound.exit_code
    with pytest.raises(FileNotFoundError):
        called()


def test_a_host_that_could_be_an_option_opens_no_connection(fake_ssh, tiny_model, capsys):
    called = fake_ssh(answering(VERDICT))
    status = main(["push", "--", "-oProxyCommand=touch x", str(tiny_model)])
    assert status == BadHost.exit_code
    assert "expected a name or an address" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        called()


def test_a_push_that_fails_leaves_no_file_open(fake_ssh, model):
    before = set(Path("/proc/self/fd").iterdir())
    fake_ssh("sys.exit(255)\n")
    with lost("found 'ssh ended with status 255'"):
        push(model, STUDIO, Line())
    assert len(set(Path("/proc/self/fd").iterdir())) <= len(before)

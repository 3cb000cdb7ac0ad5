"""A paired key can push a model and nothing else, tested with a real sshd."""

import os
import subprocess

import pytest

from device.cli import main
from device.store.store import ModelStore
from tests.support.loopback_sshd import LoopbackBox


@pytest.fixture(scope="module")
def paired(tmp_path_factory):
    """A device that its owner has paired; tests do not change it."""
    with (
        LoopbackBox(tmp_path_factory.mktemp("device")) as device,
        pytest.MonkeyPatch.context() as patch,
    ):
        device.use_environment(patch)
        assert main(["pair", device.host, *device.options]) == 0
        yield device


@pytest.fixture
def owner(paired, monkeypatch):
    """The owner of the paired device, at the workstation."""
    paired.use_environment(monkeypatch)
    return paired


def contents(folder):
    """Everything in a folder but the store's lock files and what sshd writes."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name not in (".lock", ".examining", "sshd.log") and not path.is_socket()
    }


def test_it_can_push_a_model(owner, tiny_model, capsys):
    assert main(["push", owner.host, str(tiny_model), "--port", str(owner.port)]) == 0
    assert ModelStore(owner.store).active().read_bytes() == tiny_model.read_bytes()
    assert "plays 'Tiny test model'" in capsys.readouterr().out


def attempt(device, *arguments, **options):
    """Log in with the paired key; return the result and the new files on the device."""
    before = contents(device.folder)
    done = device.ssh(*arguments, identity=device.push_key, **options)
    return done, contents(device.folder) - before


def answers_as_receive(done):
    """Whether the output is that of `receive` without a model."""
    return b'"event": "ready"' in done.stdout and b'"event": "verdict"' in done.stdout


def test_it_cannot_open_a_shell(owner):
    done, new = attempt(owner, owner.host, input=b"echo hello from a shell; exit 0\n")
    assert b"hello from a shell" not in done.stdout
    assert answers_as_receive(done)
    assert new == set()


@pytest.mark.parametrize("command", ["id", "sh -c id", "switchboard models list", "/bin/sh", ""])
def test_it_cannot_run_another_command(owner, command):
    done, new = attempt(owner, owner.host, command)
    assert answers_as_receive(done)
    assert b"uid=" not in done.stdout
    assert new == set()


def test_it_cannot_run_a_command_that_writes_a_file(owner):
    target = owner.folder / "written"
    attempt(owner, owner.host, f"touch {target}")
    assert not target.exists()
    owned = run_as_owner(owner, f"touch {target}")
    assert owned.returncode == 0
    assert target.exists()
    target.unlink()


def run_as_owner(device, *command):
    """Log in with the owner's key, to show that it is the pairing that forbids a command."""
    return device.ssh(device.host, *command, identity=device.folder / "owner_key")


def test_it_gets_no_terminal(owner):
    done, _ = attempt(owner, "-tt", owner.host, "tty")
    assert b"/dev/pts/" not in done.stdout
    assert b"PTY allocation request failed" in done.stderr
    owned = owner.ssh("-tt", owner.host, "tty", identity=owner.folder / "owner_key")
    assert b"/dev/pts/" in owned.stdout


def forwards(device, identity):
    """Whether a port of the device can be reached through the login: that of sshd itself."""
    done = device.ssh("-W", f"127.0.0.1:{device.port}", device.host, identity=identity)
    return b"SSH-2.0-OpenSSH" in done.stdout


def test_it_forwards_no_port_from_here_to_there(owner):
    assert forwards(owner, owner.folder / "owner_key")
    assert not forwards(owner, owner.push_key)
    assert "administratively prohibited" in owner.log() or "refused" in owner.log()


def test_it_forwards_no_port_from_there_to_here(owner):
    remote = ["-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{owner.port}"]
    owned = owner.ssh(*remote, owner.host, "true", identity=owner.folder / "owner_key")
    assert owned.returncode == 0
    done, _ = attempt(owner, *remote, owner.host)
    assert done.returncode == 255
    assert b"remote port forwarding failed" in done.stderr


def test_it_forwards_no_socket_and_no_agent(owner):
    listening = owner.folder / "listening"
    done, _ = attempt(
        owner, "-o", "ExitOnForwardFailure=yes", "-R", f"{listening}:127.0.0.1:1", owner.host
    )
    assert done.returncode == 255
    assert not listening.exists()
    done, _ = attempt(owner, "-A", owner.host, "env")
    assert b"SSH_AUTH_SOCK" not in done.stdout


@pytest.mark.parametrize("legacy", [[], ["-O"]], ids=["sftp", "rcp"])
def test_scp_copies_nothing_to_it(owner, tmp_path, legacy):
    source, target = tmp_path / "file", owner.folder / "copied"
    source.write_text("not a model")
    assert copy(owner, owner.folder / "owner_key", legacy, source, target).returncode == 0
    assert target.read_text() == "not a model"
    target.unlink()
    before = contents(owner.folder)
    done = copy(owner, owner.push_key, legacy, source, target)
    assert done.returncode != 0
    assert contents(owner.folder) == before


def test_scp_copies_nothing_from_it(owner, tmp_path):
    secret = owner.folder / "host_key"
    done = copy(owner, owner.push_key, [], f"{owner.host}:{secret}", tmp_path / "stolen")
    assert done.returncode != 0
    assert not (tmp_path / "stolen").exists()


def copy(device, identity, legacy, source, target):
    if ":" not in str(source):
        target = f"{device.host}:{target}"
    options = ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-i", str(identity)]
    return subprocess.run(
        [
            "scp",
            "-q",
            "-S",
            device.bin / "ssh",
            *legacy,
            *options,
            "-P",
            str(device.port),
            source,
            target,
        ],
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_it_cannot_choose_where_a_model_goes(owner, tmp_path):
    target = owner.folder / "elsewhere"
    done, new = attempt(owner, owner.host, "switchboard", "receive", "--store", str(target))
    assert answers_as_receive(done)
    assert new == set()
    assert not target.exists()


def test_it_cannot_bring_an_environment(owner):
    store = owner.folder / "by_environment"
    environment = {**os.environ, "LC_STORE": str(store), "PYTHONPATH": str(store)}
    before = contents(owner.folder)
    done = owner.ssh(
        "-o", "SendEnv=LC_* PYTHON*", owner.host, identity=owner.push_key, env=environment
    )
    assert answers_as_receive(done)
    assert contents(owner.folder) == before


def test_sshd_logs_that_the_command_is_forced(owner):
    attempt(owner, owner.host, "id")
    forced = [line for line in owner.log().splitlines() if "forced-command (key-option)" in line]
    assert forced
    assert all("switchboard receive --store" in line for line in forced)

"""Pairing: what it prints, what it refuses, and the keys it makes."""

import os

import pytest

from device.cli import main
from export.remote.pairing import PairingError, make_identity, public_half
from export.remote.ssh import LoginRefused
from tests.support.loopback_sshd import LoopbackBox


@pytest.fixture
def device(tmp_path, monkeypatch):
    """A device that is not paired yet."""
    with LoopbackBox(tmp_path) as device:
        device.use_environment(monkeypatch)
        yield device


def test_pairing_says_what_it_does_and_that_it_works(device, capsys):
    assert main(["pair", device.host, *device.options]) == 0
    out = capsys.readouterr().out
    assert f"{device.push_key}: made" in out
    assert "is paired now: the key runs /" in out
    assert "/switchboard receive, and nothing else" in out
    assert f"next: switchboard push {device.host} MODEL --port {device.port}" in out


def test_pairing_again_changes_nothing(device, capsys):
    main(["pair", device.host, *device.options])
    key, keys = device.push_key.read_bytes(), device.authorized_keys.read_bytes()
    assert main(["pair", device.host, *device.options]) == 0
    assert (device.push_key.read_bytes(), device.authorized_keys.read_bytes()) == (key, keys)
    out = capsys.readouterr().out
    assert "is there" in out
    assert "was paired already" in out


def test_a_pairing_may_move_to_another_store(device, tmp_path):
    main(["pair", device.host, *device.options])
    elsewhere = tmp_path / "elsewhere"
    assert main(["pair", device.host, "--port", str(device.port), "--store", str(elsewhere)]) == 0
    lines = device.authorized_keys.read_text().splitlines()
    assert len(lines) == 2
    assert f'receive --store {elsewhere}" ssh-ed25519 ' in lines[1]


def test_the_owners_own_key_still_opens_a_shell(device):
    main(["pair", device.host, *device.options])
    done = device.ssh(device.host, "echo still here", identity=device.folder / "owner_key")
    assert done.stdout == b"still here\n"


def test_only_the_owner_of_the_files_may_read_them(device):
    main(["pair", device.host, *device.options])
    assert device.push_key.stat().st_mode & 0o077 == 0
    assert device.push_key.parent.stat().st_mode & 0o077 == 0
    assert device.authorized_keys.stat().st_mode & 0o077 == 0


def test_a_key_that_opens_a_shell_is_not_locked_out_of_it(device, capsys):
    before = device.authorized_keys.read_bytes()
    key = str(device.folder / "owner_key")
    assert main(["pair", device.host, *device.options, "--identity", key]) == PairingError.exit_code
    assert "this key may do more there than push models" in capsys.readouterr().err
    assert device.authorized_keys.read_bytes() == before


def test_a_device_without_switchboard_is_named(device, capsys):
    status = main(
        ["pair", device.host, "--port", str(device.port), "--program", "/nowhere/switchboard"]
    )
    assert status == PairingError.exit_code
    assert "found no `switchboard` there" in capsys.readouterr().err
    assert len(device.authorized_keys.read_text().splitlines()) == 1


def test_a_store_that_cannot_be_written_is_named(device, capsys):
    status = main(["pair", device.host, "--port", str(device.port), "--store", "/proc/models"])
    assert status == PairingError.exit_code
    assert "may not write to /proc/models" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["models", "/a b", '/a"', "/a'", "/a;id", "/$(id)", "/a\nb"])
@pytest.mark.parametrize("option", ["--store", "--program"])
def test_a_path_that_could_be_more_than_a_path_makes_no_key(
    option, path, capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["pair", "me@127.0.0.1", option, path]) == PairingError.exit_code
    assert "expected a path from / on" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_refused_login_of_the_owner_is_reported(device, capsys):
    device.authorized_keys.write_text("")
    assert main(["pair", device.host, *device.options]) == LoginRefused.exit_code
    assert "Permission denied" in capsys.readouterr().err


def test_an_unknown_host_is_not_trusted_by_itself(device, capsys):
    (device.folder / "known_hosts").write_text("")
    status = main(["push", device.host, str(device.folder / "none.onnx")])
    assert status != 0
    status = main(["pair", device.host, *device.options])
    assert status == 43
    assert "the host's key is not known on this workstation" in capsys.readouterr().err


def test_a_host_that_changed_its_key_is_not_trusted_either(device, capsys, tiny_model):
    main(["pair", device.host, *device.options])
    other = (device.folder / "owner_key.pub").read_text()
    (device.folder / "known_hosts").write_text(f"[127.0.0.1]:{device.port} {other}")
    assert main(["push", device.host, str(tiny_model), "--port", str(device.port)]) == 43
    err = capsys.readouterr().err
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in err
    assert "ssh-keygen -R 127.0.0.1" in err


def test_a_key_is_made_once(tmp_path):
    key = tmp_path / "deep" / "id_ed25519"
    assert make_identity(key)
    before = key.read_bytes()
    assert not make_identity(key)
    assert key.read_bytes() == before


def test_the_public_half_is_found_beside_the_key_or_computed(tmp_path):
    key = tmp_path / "id_ed25519"
    make_identity(key)
    half = public_half(key)
    assert half.startswith("ssh-ed25519 AAAA")
    assert half.endswith(" switchboard-push")
    key.with_name("id_ed25519.pub").unlink()
    assert public_half(key) == half


def test_a_public_half_cannot_bring_a_line_of_its_own(tmp_path):
    key = tmp_path / "id_ed25519"
    make_identity(key)
    key.with_name("id_ed25519.pub").write_text('command="sh" ssh-ed25519 AAAA\nssh-rsa BBBB x\n')
    with pytest.raises(PairingError, match="expected a public key"):
        public_half(key)


def test_a_key_that_is_none_is_refused(tmp_path):
    (tmp_path / "key").write_text("no key\n")
    with pytest.raises(PairingError, match=r"ssh-keygen: .*see --identity"):
        public_half(tmp_path / "key")


def test_a_pipe_in_the_place_of_a_key_or_of_its_public_half_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PairingError, match="found no regular file"):
        make_identity(tmp_path / "pipe")
    make_identity(tmp_path / "key")
    (tmp_path / "key.pub").unlink()
    os.mkfifo(tmp_path / "key.pub")
    assert public_half(tmp_path / "key").startswith("ssh-ed25519 ")


def test_a_public_half_without_an_end_is_refused(tmp_path):
    make_identity(tmp_path / "key")
    (tmp_path / "key.pub").write_bytes(b"ssh-ed25519 " + bytes(10**7))
    with pytest.raises(PairingError, match="more than 65,536 bytes"):
        public_half(tmp_path / "key")


def test_a_keygen_that_does_not_answer_is_not_waited_for(tmp_path, monkeypatch):
    program = tmp_path / "ssh-keygen"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("export.remote.pairing._KEYGEN_SECONDS", 0.2)
    with pytest.raises(PairingError, match="no answer within"):
        make_identity(tmp_path / "key")


def test_a_key_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(PairingError, match=r"cannot be made \((File exists|Not a directory)\)"):
        make_identity(tmp_path / "file" / "id_ed25519")

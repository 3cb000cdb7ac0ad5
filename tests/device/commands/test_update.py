"""`switchboard update` with an installer of the test's; hostile files, other keys."""

import json
import os
import shutil
import tarfile
import time

import pytest

from device.cli import main
from device.commands import update as command
from device.commands.update import check_fits, check_root
from device.errors import OutputError
from device.updates.software.bundle import Manifest, UpdateRefused
from device.updates.software.outcome import UpdateFailed
from device.updates.software.signature import UpdateUntrusted, trust
from tests.support.update_bundles import PYTHON, bundle, make_key, rewritten, sign

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)

# Notes what it was called with, in the folder above; it is there only while it runs.
INSTALLER = (
    'echo "$@" >"$(dirname "$0")/../../../called"\nls "$2" >>"$(dirname "$0")/../../../called"\n'
)


@pytest.fixture
def device(tmp_path, monkeypatch):
    """An installed device of version 1.0, which trusts one key."""
    home, keys = tmp_path / "opt", tmp_path / "etc"
    (home / "versions/1.0-abc").mkdir(parents=True)
    (home / "current").symlink_to("versions/1.0-abc")
    keys.mkdir()
    monkeypatch.setattr(command, "HOME", home)
    monkeypatch.setattr(command, "KEYS", keys)
    monkeypatch.setattr(command, "version", lambda _name: "1.0")
    monkeypatch.setattr(command, "check_root", lambda: None)
    return home


@pytest.fixture
def key(device, tmp_path):
    key = make_key(tmp_path / "home")
    trust(key.with_suffix(".pub"), tmp_path / "etc")
    return key


@pytest.fixture
def refused(device, capsys):
    """Checks that an update ends with an error, in one line, and leaves nothing behind."""

    def refused(file, error, *words, options=()):
        before = sorted(device.rglob("*"))
        assert main(["update", str(file), *options]) == error.exit_code
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert [word for word in words if word not in message] == []
        left = [p for p in sorted(device.rglob("*")) if p not in before and p.name != "update"]
        assert left == []

    return refused


def signed(folder, key, version="1.1", **options):
    path = bundle(folder / "made", version, **{"installer": INSTALLER, **options})
    sign(path, key)
    return path


def test_the_installer_of_the_bundle_gets_its_wheelhouse(device, key, tmp_path, capsys):
    assert main(["update", str(signed(tmp_path, key))]) == 0
    words, *listed = (device / "called").read_text(encoding="utf-8").splitlines()
    assert words == f"--wheelhouse {device}/update/wheelhouse"
    assert listed == ["lofi_switchboard-1.1-py3-none-any.whl", "systemd"]
    output = capsys.readouterr().out
    assert "Good" in output
    assert "version 1.1 plays" in output
    assert list((device / "update").iterdir()) == []


def test_a_bundle_that_is_not_signed_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, key)
    path.with_name("bundle.tar.sig").unlink()
    refused(path, UpdateUntrusted, "bundle.tar.sig", "--signature")


def test_a_bundle_of_another_key_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, make_key(tmp_path, "other"))
    refused(path, UpdateUntrusted, "--trust")


def test_a_bundle_that_was_changed_is_refused_before_it_is_read(
    device, key, tmp_path, refused, monkeypatch
):
    path = signed(tmp_path, key)
    rewritten(path, more=[tarfile.TarInfo("../escaped")])
    monkeypatch.setattr(command, "unpack", lambda *_: pytest.fail("it was read"))
    refused(path, UpdateUntrusted, "signature")


def test_a_signed_bundle_with_a_file_too_many_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, key)
    rewritten(path, more=[tarfile.TarInfo("../escaped")])
    sign(path, key)
    refused(path, UpdateRefused, "'../escaped'")


def test_a_truncated_bundle_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, key)
    path.write_bytes(path.read_bytes()[:2000])
    refused(path, UpdateUntrusted)
    sign(path, key)
    refused(path, UpdateRefused, "make it again")


def test_a_huge_bundle_and_an_endless_one_are_refused(device, key, tmp_path, refused, monkeypatch):
    path = signed(tmp_path, key)
    monkeypatch.setattr(command, "MOST_BYTES", 1000)
    refused(path, UpdateRefused, "more than 1,000 bytes")
    os.mkfifo(tmp_path / "pipe")
    for endless in ("/dev/zero", str(tmp_path / "pipe")):
        refused(endless, UpdateRefused, options=["--signature", str(path)])


def test_a_huge_signature_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, key)
    path.with_name("bundle.tar.sig").write_bytes(b"x" * 20_000)
    refused(path, UpdateRefused, "more than 16,384 bytes")


def test_an_older_version_is_refused_unless_it_is_allowed(device, key, tmp_path, refused):
    path = signed(tmp_path, key, "0.9")
    refused(path, UpdateRefused, "version 0.9", "1.0 or a newer one", "--allow-older")
    assert main(["update", str(path), "--allow-older"]) == 0


def test_a_full_disk_is_noticed_before_anything_is_unpacked(
    device, key, tmp_path, refused, monkeypatch
):
    path = signed(tmp_path, key)
    monkeypatch.setattr(command, "free_bytes", lambda _: 1000)
    refused(path, UpdateRefused, "MiB free", "free some space")


def test_an_installer_that_fails_is_reported(device, key, tmp_path, refused):
    refused(signed(tmp_path, key, installer="exit 3\n"), UpdateFailed, "status 3", "plays on")


def test_a_version_that_went_back_is_reported_with_the_reason(device, key, tmp_path, capsys):
    outcome = {
        "outcome": "back",
        "version": "1.1-def",
        "before": "1.0-abc",
        "reason": "it did not play within its time",
        "at": int(time.time()) + 5,
    }
    script = (
        f'echo \'{json.dumps(outcome)}\' >"$(dirname "$0")/../../../last-update.json"\nexit 1\n'
    )
    assert main(["update", str(signed(tmp_path, key, installer=script))]) == UpdateFailed.exit_code
    err = capsys.readouterr().err
    assert "went back to 1.0-abc from 1.1-def: it did not play within its time" in err
    assert main(["update"]) == 0
    assert "went back to 1.0-abc" in capsys.readouterr().out


def test_what_an_update_that_was_cut_off_left_is_removed(device, key, tmp_path):
    left = device / "update/wheelhouse/systemd"
    left.mkdir(parents=True)
    (left / "install.sh").write_text("exit 1\n", encoding="utf-8")
    (device / "update/bundle.tar").symlink_to("/etc/passwd")
    assert main(["update", str(signed(tmp_path, key))]) == 0
    assert list((device / "update").iterdir()) == []


def test_two_updates_at_once_are_refused(device, key, tmp_path, capsys):
    path = signed(tmp_path, key)
    with command._staging(device):
        assert main(["update", str(path)]) == UpdateFailed.exit_code
    assert "another update" in capsys.readouterr().err


def test_only_root_updates(device, key, tmp_path, refused, monkeypatch):
    path = signed(tmp_path, key)
    monkeypatch.setattr(command, "check_root", check_root)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused(path, OutputError, "sudo switchboard update")


def test_a_machine_without_a_device_is_refused(device, key, tmp_path, refused):
    path = signed(tmp_path, key)
    (device / "current").unlink()
    refused(path, UpdateRefused, "systemd/install.sh")


def test_trust_and_the_last_outcome_need_no_bundle(device, tmp_path, capsys):
    key = make_key(tmp_path)
    assert main(["update", "--trust", str(key.with_suffix(".pub"))]) == 0
    assert "may sign updates" in capsys.readouterr().out
    assert main(["update"]) == 0
    assert capsys.readouterr().out == "no update was tried here\n"
    (device / "trial").write_text("1.1-def 1.0-abc 1\n", encoding="utf-8")
    assert main(["update"]) == 0
    assert "1.1-def is on trial" in capsys.readouterr().out


@pytest.mark.parametrize(("python", "machine"), [("3.9", "x86_64"), (PYTHON, "riscv64")])
def test_an_update_for_another_system_is_refused(python, machine):
    with pytest.raises(UpdateRefused, match="make update-bundle ARCH="):
        check_fits(Manifest("2.0", python, machine, {}), "1.0", allow_older=False)


def test_a_version_that_is_none_is_refused():
    with pytest.raises(UpdateRefused, match="such as"):
        check_fits(Manifest("two", PYTHON, os.uname().machine, {}), "1.0", allow_older=True)

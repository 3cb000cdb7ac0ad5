"""`switchboard bundle`: what it makes is what `switchboard update` takes."""

import shutil

import pytest

from device.cli import main
from device.updates.software.bundle import UpdateRefused, unpack
from device.updates.software.signature import trust, verify
from export.remote.update_bundle import SigningFailed
from tests.support.update_bundles import make_key, wheelhouse

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


def test_a_wheelhouse_becomes_one_file_and_its_signature(tmp_path, capsys):
    key = make_key(tmp_path / "home")
    folder = wheelhouse(tmp_path, "1.2", python="3.11", machine="aarch64")
    # Made twice, because a signature that is there is replaced.
    for _ in range(2):
        assert main(["bundle", str(folder), "--key", str(key)]) == 0
    path = tmp_path / "switchboard-1.2-3.11-aarch64.tar"
    signature = path.with_name(f"{path.name}.sig")
    assert str(path) in capsys.readouterr().out
    keys = tmp_path / "etc"
    keys.mkdir()
    trust(key.with_suffix(".pub"), keys)
    assert "Good" in verify(path, signature, keys)
    manifest = unpack(path, tmp_path / "out")
    assert (manifest.version, manifest.python, manifest.machine) == ("1.2", "3.11", "aarch64")


def test_what_is_no_wheelhouse_makes_no_bundle(tmp_path, capsys):
    key = make_key(tmp_path / "home")
    folder = wheelhouse(tmp_path, "1.2")
    next(folder.glob("*.whl")).unlink()
    for wrong in (folder, tmp_path / "none", tmp_path):
        assert main(["bundle", str(wrong), "--key", str(key)]) == UpdateRefused.exit_code
        assert "make wheelhouse" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.tar*"))


def test_a_file_that_no_device_would_take_is_named(tmp_path, capsys):
    folder = wheelhouse(tmp_path, "1.2")
    (folder / ".hidden").touch()
    key = make_key(tmp_path / "home")
    assert main(["bundle", str(folder), "--key", str(key)]) == UpdateRefused.exit_code
    assert ".hidden" in capsys.readouterr().err


def test_a_key_that_does_not_sign_is_an_error(tmp_path, capsys):
    folder = wheelhouse(tmp_path, "1.2")
    status = main(["bundle", str(folder), "--key", str(tmp_path / "none")])
    assert status == SigningFailed.exit_code
    assert "expected a private key" in capsys.readouterr().err

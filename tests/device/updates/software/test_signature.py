"""Signatures of updates: those of a trusted key, for this purpose, of these bytes; no others."""

import os
import shutil
import stat

import pytest

from device.updates.software import signature as signatures
from device.updates.software.signature import ALLOWED_SIGNERS, UpdateUntrusted, trust, verify
from tests.support.update_bundles import make_key, sign

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"
)


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def key(tmp_path, keys):
    key = make_key(tmp_path / "home")
    trust(key.with_suffix(".pub"), keys)
    return key


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bundle.tar"
    path.write_bytes(b"software" * 1000)
    return path


def test_a_trusted_key_may_sign(keys, key, file):
    assert "Good" in verify(file, sign(file, key), keys)


def test_another_key_may_not(keys, key, file, tmp_path):
    with pytest.raises(UpdateUntrusted, match="--trust"):
        verify(file, sign(file, make_key(tmp_path / "home", "other")), keys)


def test_other_bytes_are_not_what_was_signed(keys, key, file):
    signature = sign(file, key)
    file.write_bytes(b"softwarf" + b"software" * 999)
    with pytest.raises(UpdateUntrusted):
        verify(file, signature, keys)


def test_a_signature_for_another_purpose_is_none_of_an_update(keys, key, file):
    with pytest.raises(UpdateUntrusted):
        verify(file, sign(file, key, namespace="file"), keys)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"-----BEGIN SSH SIGNATURE-----\n"])
def test_what_is_no_signature_is_refused(keys, key, file, content):
    signature = file.with_name("x.sig")
    signature.write_bytes(content)
    with pytest.raises(UpdateUntrusted):
        verify(file, signature, keys)


def test_without_a_trusted_key_nothing_is_installed(keys, file, tmp_path):
    with pytest.raises(UpdateUntrusted, match="allowed_signers"):
        verify(file, sign(file, make_key(tmp_path)), keys)
    # Nor by a signature of another tool.
    with pytest.raises(UpdateUntrusted, match=r"minisign\.pub"):
        verify(file, tmp_path / "bundle.tar.minisig", keys)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_list_that_others_may_write_is_not_believed(keys, key, file, mode):
    (keys / ALLOWED_SIGNERS).chmod(mode)
    with pytest.raises(UpdateUntrusted, match="another account"):
        verify(file, sign(file, key), keys)


def test_a_folder_that_others_may_write_is_not_believed(keys, key, file):
    keys.chmod(0o777)
    with pytest.raises(UpdateUntrusted, match="another account"):
        verify(file, sign(file, key), keys)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_list_of_another_account_is_not_believed(keys, key, file):
    os.chown(keys / ALLOWED_SIGNERS, 64_123, 64_123)
    with pytest.raises(UpdateUntrusted, match="another account"):
        verify(file, sign(file, key), keys)


def test_trusting_a_key_twice_changes_nothing_and_another_is_added(keys, key, file, tmp_path):
    path = keys / ALLOWED_SIGNERS
    before = path.read_text(encoding="utf-8")
    assert "SHA256:" in trust(key.with_suffix(".pub"), keys)
    assert path.read_text(encoding="utf-8") == before
    other = make_key(tmp_path, "other")
    trust(other.with_suffix(".pub"), keys)
    for each in (key, other):
        assert "Good" in verify(file, sign(file, each), keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(keys.iterdir()) == [path]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519 AAAA\n",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "{key}\n{key}\n",
        'principal namespaces="file" {key}\n',
        "* {key}\n",
    ],
)
def test_what_is_no_public_key_is_not_trusted(keys, tmp_path, text):
    public = make_key(tmp_path).with_suffix(".pub").read_text(encoding="utf-8").strip()
    path = tmp_path / "text.pub"
    path.write_text(text.format(key=public), encoding="utf-8")
    with pytest.raises(UpdateUntrusted):
        trust(path, keys)
    assert list(keys.iterdir()) == []


def test_a_tool_that_is_missing_is_named(keys, key, file, monkeypatch):
    signature = sign(file, key)
    monkeypatch.setitem(signatures._ENVIRONMENT, "PATH", "/nonexistent")
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UpdateUntrusted, match="apt install openssh-client"):
        verify(file, signature, keys)

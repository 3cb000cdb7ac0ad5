"""The token's file."""

import stat

import pytest

from device.errors import OutputError, SettingsError
from device.ui.phone_panel.token import make_token, read_token


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state/token"


def test_it_is_random_and_its_owner_alone_can_read_it(path):
    first = make_token(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_token(path) == first
    assert make_token(path) != first
    assert read_token(path) != first
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_one_that_others_can_read_is_refused_unless_the_service_manager_passed_it(path):
    token = make_token(path)
    path.chmod(0o640)
    with pytest.raises(SettingsError, match=r"found mode 640, expected .*--new-token"):
        read_token(path)
    assert read_token(path, is_credential=True) == token


@pytest.mark.parametrize("content", [b"", b"root:x:0:0", b"A" * 23, b"\xff" * 22, b"A" * 21 + b"/"])
def test_another_content_is_refused_and_not_shown(path, content):
    make_token(path)
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="found another content") as refused:
        read_token(path)
    assert "root:x" not in str(refused.value)


def test_a_link_is_not_followed(path, tmp_path):
    token = tmp_path / "other"
    make_token(token)
    path.parent.mkdir()
    path.symlink_to(token)
    with pytest.raises(SettingsError):
        read_token(path)
    make_token(path)
    assert not path.is_symlink()


def test_without_one_the_error_says_what_makes_one(path, tmp_path):
    with pytest.raises(SettingsError, match="panel --link"):
        read_token(path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --token-file"):
        make_token(tmp_path / "file/token")

"""A file is whole or absent, whatever happens while it is written."""

import codecs
import os
import socket
from pathlib import Path

import pytest

from device.files import (
    atomic_write,
    open_regular,
    read_json_object,
    read_regular,
    read_text,
    sha256_of,
)


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path, partial = tmp_path / "a", tmp_path / "a.part"
    with atomic_write(path, partial) as file:
        file.write(b"new")
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_only_the_old_file(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with (
        pytest.raises(type(error)),
        atomic_write(path, tmp_path / "a.part") as file,
    ):
        file.write(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"


def _socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


NO_FILES = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "folder": os.mkdir,
    "link to a pipe": lambda path: (os.mkfifo(f"{path}.to"), path.symlink_to(f"{path}.to")),
    "link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "link to a terminal or none": lambda path: path.symlink_to("/dev/tty"),
    "link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_regular_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "input"
    NO_FILES[kind](path)
    n_open = len(list(Path("/proc/self/fd").iterdir()))
    for read in (open_regular, sha256_of, read_text, lambda path: read_regular(path, 100)):
        with pytest.raises(OSError) as refusal:
            read(path)
        assert refusal.value.strerror
    assert read_json_object(path) == {}
    assert len(list(Path("/proc/self/fd").iterdir())) == n_open


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have_is_an_os_error(name):
    with pytest.raises(OSError):
        read_regular(Path(name), 100)


def test_no_more_than_the_limit_is_read(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="found more than 4 bytes"):
        read_regular(path, 4)


def test_the_null_device_is_an_empty_file():
    assert read_regular(Path(os.devnull), 5) == b""


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_a_text_may_begin_with_a_byte_order_mark(mark, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(mark + "Später\r\n".encode())
    assert read_text(path) == "Später\r\n"

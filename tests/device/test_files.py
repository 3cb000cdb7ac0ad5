"""A file is whole or absent, whatever happens while it is written."""

import pytest

from device.files import written_whole


def test_a_file_takes_its_name_when_it_is_complete(tmp_path):
    path, partial = tmp_path / "a", tmp_path / "a.part"
    with written_whole(path, partial) as file:
        file.write(b"new")
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with (
        pytest.raises(type(error)),
        written_whole(path, tmp_path / "a.part") as file,
    ):
        file.write(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"old"

"""A full disk: one line that says so, an exit code per cause, no partial file."""

import pytest

from device import errors
from tests.support import tiny_model as tiny
from tests.support.command_output import listing, run_in_subprocess

# A limit on the size of files fails writes as a full disk does.
FULL_AFTER = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))
"""


@pytest.mark.parametrize(
    ("command", "n_bytes"),
    [
        ("render --model tiny.onnx --bits 101 --seconds 1 --out out.wav", 0),
        ("render --model tiny.onnx --bits 101 --seconds 1 --out out.wav", 20),
        ("play --model tiny.onnx --switches demo --seconds 1 --speaker wav:out.wav", 5000),
    ],
)
def test_a_full_disk_leaves_no_partial_file(command_folder, command, n_bytes):
    tiny.build(command_folder / "tiny.onnx")
    before = listing(command_folder)
    completed = run_in_subprocess(command, FULL_AFTER.format(n_bytes))
    assert completed.returncode == errors.OutputError.exit_code, completed.stderr
    assert completed.stderr.startswith(
        "switchboard: out.wav: found File too large, expected a writable"
    )
    assert completed.stderr.count("\n") == 1
    assert listing(command_folder) == before


def test_a_disk_without_room_for_a_model_is_an_error(command_folder):
    tiny.build(command_folder / "tiny.onnx")
    completed = run_in_subprocess(
        "models activate tiny.onnx --store store", FULL_AFTER.format(5000)
    )
    assert completed.returncode == errors.StoreFull.exit_code
    assert "store: found File too large, expected room for a model" in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert [path.name for path in (command_folder / "store").iterdir()] == [".lock"]


def test_a_failed_recording_leaves_the_previous_one(command_folder):
    tiny.build(command_folder / "tiny.onnx")
    (command_folder / "out.wav").write_bytes(b"the previous recording")
    completed = run_in_subprocess(
        "render --model tiny.onnx --bits 101 --out out.wav", FULL_AFTER.format(5000)
    )
    assert completed.returncode == errors.OutputError.exit_code
    assert (command_folder / "out.wav").read_bytes() == b"the previous recording"

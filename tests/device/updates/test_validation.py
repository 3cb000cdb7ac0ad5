"""Validation: a good file passes, any other ends in one line, and does no harm."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime_errors

from device.errors import (
    ContractError,
    ExaminationFailed,
    ForbiddenGraph,
    GoldenMismatch,
    ModelRefused,
    ModelTooSlow,
    SwitchboardError,
)
from device.model.bundled import BUNDLED_MODEL
from device.updates.validation import CHECKS, ValidationResult, validate
from device.updates.validation_worker import ResourceLimits, answer
from tests.support import malicious_models
from tests.support import tiny_model as tiny


@pytest.mark.parametrize("bundled", [False, True])
def test_a_good_model_passes_every_check_in_order(tiny_model, bundled):
    checks = []
    verdict = validate(BUNDLED_MODEL if bundled else tiny_model, report=checks.append)
    assert verdict.accepted, verdict.line
    assert (verdict.line, verdict.exit_code) == ("accepted", 0)
    assert tuple(checks) == CHECKS
    figures = verdict.figures
    assert figures["n_states"] == (64 if bundled else 8)
    assert -50 < figures["quietest_db"] <= figures["loudest_db"] < -10
    assert 0 < figures["block_ms"] < figures["deadline_ms"]
    assert 20 < figures["peak_mb"] < 512
    assert verdict.seconds > 0
    verdict.check_accepted("this")


@pytest.mark.parametrize("trick", malicious_models.MALICIOUS)
def test_a_malicious_model_is_refused_in_one_line_that_names_the_check(trick, tmp_path):
    make, check, words = malicious_models.MALICIOUS[trick]
    path = malicious_models.write(make(), tmp_path / "malicious.onnx")
    # Work without an end is stopped, after processor time that takes many seconds beside other
    # tests; the others are refused long before.
    limits = (
        ResourceLimits(cpu_seconds=2.0, seconds=300.0)
        if make is malicious_models.endless_work
        else ResourceLimits()
    )
    verdict = validate(path, limits=limits)
    assert (verdict.accepted, verdict.check) == (False, check), verdict.line
    assert words in verdict.reason
    assert verdict.is_final
    assert verdict.line.startswith(f"refused at {check}: ")
    assert verdict.line.isprintable()
    assert str(tmp_path) not in verdict.line
    assert [p.name for p in tmp_path.iterdir()] == ["malicious.onnx"]
    with pytest.raises(SwitchboardError, match=f"malicious: refused at {check}") as caught:
        verdict.check_accepted("malicious")
    assert caught.value.exit_code == verdict.exit_code


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"metadata": {"sample_rate": "many"}}, "metadata", "'many'"),
        ({"metadata": {"contract_version": "7"}}, "metadata", "contract_version"),
        ({"metadata": {"mood": "blue"}}, "metadata", "mood"),
        ({"graph": {"n_switches": 4}}, "tensors", "'switches'"),
        ({"extra_output": True}, "tensors", "echo"),
        ({"golden_offset": 0.5}, "golden vector", "0.5 nepers"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused_by_the_check_concerned(
    build_model, changes, check, words
):
    verdict = validate(build_model(**changes))
    assert (verdict.accepted, verdict.check) == (False, check)
    assert words in verdict.reason


def test_every_cause_has_its_own_class_and_exit_code(tiny_model, build_model, tmp_path):
    loop = malicious_models.write(malicious_models.looping(), tmp_path / "loop")
    causes = {
        ModelTooSlow: validate(tiny_model, limits=ResourceLimits(deadline_share=1e-9)),
        GoldenMismatch: validate(build_model(golden_offset=0.5)),
        ForbiddenGraph: validate(loop),
        ExaminationFailed: validate(tiny_model, limits=ResourceLimits(seconds=0.01)),
        ModelRefused: ValidationResult(False, 0.0, "history", "it hums", ModelRefused.exit_code),
    }
    for error, verdict in causes.items():
        assert verdict.exit_code == error.exit_code
        with pytest.raises(error):
            verdict.check_accepted("it")


def test_the_memory_of_a_validation_is_limited(tmp_path):
    path = malicious_models.write(malicious_models.slow_bomb(), tmp_path / "m")
    verdict = validate(path)
    assert (verdict.check, verdict.exit_code) == ("golden vector", ExaminationFailed.exit_code)
    assert "bad_alloc" in verdict.reason


def test_a_model_that_exceeds_its_memory_limit_is_refused(tmp_path):
    path = malicious_models.write(malicious_models.wide_work(2**24), tmp_path / "m")
    verdict = validate(path)
    assert (verdict.check, verdict.exit_code) == ("memory", ExaminationFailed.exit_code)
    assert "expected 128 MB at most" in verdict.reason
    assert verdict.is_final


def test_the_memory_of_a_model_does_not_depend_on_the_calling_process(tiny_model):
    before = validate(tiny_model).figures["model_mb"]
    ballast = np.ones(2**25)  # 256 MB
    figures = validate(tiny_model).figures
    assert ballast.all()
    assert figures["model_mb"] < before + 16
    assert figures["peak_mb"] < 200


def test_a_small_file_of_large_sizes_is_refused_before_it_is_loaded(tmp_path):
    path = tiny.build(
        tmp_path / "m",
        metadata={"n_slots": "1024", "beats_per_loop": "256", "n_channels": "4096"},
    )
    verdict = validate(path)
    assert (verdict.check, verdict.exit_code) == ("metadata", ContractError.exit_code)
    assert "1024 x 4096 numbers, expected 131,072" in verdict.reason


def test_a_file_of_many_fields_is_refused_within_a_small_memory_limit(tmp_path):
    path = malicious_models.write(malicious_models.many_fields(), tmp_path / "m")
    verdict = validate(path, limits=ResourceLimits(memory_bytes=64 * 2**20))
    assert not verdict.accepted
    assert verdict.check in CHECKS


def shell(script):
    return lambda _path, _limits: subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -SEGV $$", "found SIGSEGV"),
        ("kill -KILL $$", "found SIGKILL"),
        ("kill -XCPU $$", "found too much to compute"),
        ("exit 3", "found exit status 3"),
        ("exit 0", "found exit status 0"),
        ("echo nonsense", "an invalid result"),
        ("echo '[1]'", "an invalid result"),
        ("printf '\\377\\n'", "an invalid result"),
        ("""echo '{"crash": "OSError: no"}'""", "found OSError: no"),
        ("exec sleep 100", "no end after 1 s"),
    ],
)
def test_a_process_that_crashes_is_a_refusal_by_the_check_that_it_had_begun(
    script, words, tmp_path
):
    before = """echo '{"check": "sound"}'; """
    verdict = validate(
        tmp_path / "m", limits=ResourceLimits(seconds=1.0), start=shell(before + script)
    )
    assert (verdict.accepted, verdict.check) == (False, "sound")
    assert verdict.exit_code == ExaminationFailed.exit_code
    assert words in verdict.reason
    # A process that runs out of time may only have had to wait.
    assert verdict.is_final is ("no end" not in words)


def test_a_process_with_endless_output_is_ended(tmp_path):
    verdict = validate(tmp_path / "m", start=shell("yes '{}'"))
    assert (verdict.accepted, verdict.check) == (False, "size")


def test_control_characters_of_a_file_are_not_printed(build_model):
    path = build_model(metadata={"\x1b[2J\n\r": "x"})
    verdict = validate(path)
    assert verdict.check == "metadata"
    assert verdict.line.isprintable()


def test_a_validation_ends_with_its_parent_process(tmp_path):
    path = malicious_models.write(malicious_models.endless_work(), tmp_path / "m")
    code = (
        "import sys, os\n"
        "from pathlib import Path\n"
        "from device.updates.validation import start_process\n"
        "from device.updates.validation_worker import ResourceLimits\n"
        "child = start_process(Path(sys.argv[1]), ResourceLimits())\n"
        "print(child.pid, flush=True)\n"
        # The first line comes after it has requested to end with its parent.
        "child.stdout.readline()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        pid = int(parent.stdout.readline())
        parent.wait()
    wait_until_gone(pid)


def wait_until_gone(pid, tries=1000):
    for _ in range(tries):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} has not ended")


def test_the_tiny_models_of_the_tests_are_good_ones(tmp_path):
    path = tiny.build(tmp_path / "m", sample_rate=44100, n_fft=512, hop_length=128, n_switches=7)
    verdict = validate(path)
    assert verdict.accepted, verdict.line
    assert verdict.figures["n_states"] == 64


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES])
@pytest.mark.parametrize("name", ["network._load", "onnx_reader.check_file", "network.sha256_of"])
def test_a_file_that_cannot_be_read_has_no_final_result(tiny_model, monkeypatch, number, name):
    """Whichever step of reading the disk or the system fails in."""

    def fails(path, *_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(f"device.model.{name}", fails)
    lines = []
    answer(tiny_model, ResourceLimits(), lines.append)
    assert lines[-1]["accepted"] is False
    assert lines[-1]["is_final"] is False
    assert os.strerror(number) in lines[-1]["reason"]


def test_a_file_that_onnxruntime_cannot_read_has_no_final_result(tiny_model, monkeypatch):
    def fails(*_, **__):
        raise onnxruntime_errors.Fail("Load model failed:system error number 24")

    monkeypatch.setattr("onnxruntime.InferenceSession", fails)
    lines = []
    answer(tiny_model, ResourceLimits(), lines.append)
    assert lines[-1]["is_final"] is False
    assert "Too many open files" in lines[-1]["reason"]


def test_without_a_process_for_the_validation_the_result_is_not_final(tiny_model):
    def fails(*_):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    verdict = validate(tiny_model, start=fails)
    assert (verdict.accepted, verdict.is_final) == (False, False)
    assert "temporarily unavailable" in verdict.reason

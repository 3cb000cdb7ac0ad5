"""A model file opened, checked and run."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from device.errors import ContractError, GoldenMismatch, ModelNotFound, ModelUnreadable
from device.model.network import Network
from tests.support import tiny_model as tiny

OFF, ON = np.zeros(3, np.float32), np.ones(3, np.float32)
MEAN = np.zeros(2, np.float32)
LOOP = np.arange(64, dtype=np.float32) / 16


def test_the_tiny_model_opens_and_has_the_card_that_was_written(network):
    assert network.card == tiny.describe(tiny.Sizes())


def test_both_halves_have_outputs_of_the_declared_shapes_in_single_precision(network):
    score = network.compose(ON, MEAN)
    frames = network.render(score, LOOP)[0]
    assert (score.shape, score.dtype) == ((16, 8), np.float32)
    assert (frames.shape, frames.dtype) == ((64, 129), np.float32)


def test_the_same_input_gives_the_same_output(network):
    assert np.array_equal(network.compose(ON, MEAN), network.compose(ON, MEAN))


@pytest.mark.parametrize("switch", range(3))
def test_every_switch_changes_the_score_and_the_frames(network, switch):
    one = np.eye(3, dtype=np.float32)[switch]
    scores = [network.compose(state, MEAN) for state in (OFF, one)]
    frames = [network.frames(score, LOOP) for score in scores]
    assert not np.array_equal(*scores)
    assert not np.array_equal(*frames)


def test_the_variation_changes_the_score(network):
    assert not np.array_equal(network.compose(OFF, MEAN), network.compose(OFF, MEAN + 1))


def test_with_nan_switches_the_compose_half_is_not_computed(network):
    assert not network.compose(np.full(3, np.nan, np.float32), MEAN).any()


def test_a_frame_does_not_depend_on_the_frames_drawn_with_it(network):
    score = network.compose(ON, MEAN)
    together = network.render(score, LOOP)[0]
    alone = np.concatenate([network.render(score, LOOP[i : i + 1])[0] for i in range(64)])
    assert np.array_equal(together, alone)


def test_positions_wrap_round_at_the_end_of_the_loop(network):
    score = network.compose(ON, MEAN)
    assert np.array_equal(network.render(score, LOOP)[0], network.render(score, LOOP + 4)[0])


def test_what_lies_at_the_log_floor_is_exact_silence(network):
    silence = network.frames(np.zeros((16, 8), np.float32), LOOP)
    assert not silence.any()


def test_magnitudes_are_those_of_the_log_magnitudes_above_the_floor(network):
    score = network.compose(ON, MEAN)
    expected = np.exp(network.render(score, LOOP)[0]) - np.exp(tiny.LOG_FLOOR)
    magnitude = network.frames(score, LOOP)
    assert magnitude.min() >= 0
    assert magnitude == pytest.approx(np.maximum(expected, 0), abs=1e-6)


def test_several_threads_may_compose_at_once(network):
    rng = np.random.default_rng(0)
    states = [rng.integers(0, 2, 3).astype(np.float32) for _ in range(40)]
    expected = [network.compose(state, MEAN) for state in states]
    results = [[] for _ in range(4)]

    def compose_all(scores):
        scores.extend(network.compose(state, MEAN) for state in states)

    threads = [threading.Thread(target=compose_all, args=(scores,)) for scores in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(scores, expected) for scores in results)


def test_a_model_of_other_sizes_opens_as_well(build_model):
    path = build_model(n_switches=5, n_fft=512, hop_length=128, n_variation=3, beats_per_loop=8)
    network = Network.open(path)
    assert network.compose(np.ones(5, np.float32), np.zeros(3, np.float32)).shape == (32, 12)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"graph": {"n_switches": 4}}, ContractError, "tensor 'switches': found float32 .4."),
        ({"graph": {"n_variation": 5}}, ContractError, "tensor 'variation': found float32 .5."),
        ({"graph": {"beats_per_loop": 8}}, ContractError, r"'score_in': found float32 \(32, 8\)"),
        ({"graph": {"n_fft": 512}}, ContractError, r"'log_magnitude': found float32 \(n, 257\)"),
        ({"extra_output": True}, ContractError, "found the extra tensor echo"),
        ({"metadata": {"tempo_bpm": None}}, ContractError, "found no tempo_bpm"),
        ({"metadata": {"mood": "blue"}}, ContractError, "found the unknown key mood"),
        ({"golden_offset": 0.01}, GoldenMismatch, "difference of 0.01 nepers, expected at most 0"),
        ({"golden_offset": -0.01}, GoldenMismatch, "difference of 0.01 nepers, expected at most 0"),
    ],
)
def test_a_model_that_breaks_the_contract_is_refused(build_model, changes, error, words):
    with pytest.raises(error, match=words):
        Network.open(build_model(**changes))


def test_rounding_within_the_golden_tolerance_is_accepted(build_model):
    assert Network.open(build_model(golden_offset=0.5 * tiny.GOLDEN_TOLERANCE))


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_refused(tiny_model, tmp_path, share):
    content = tiny_model.read_bytes()
    path = tmp_path / "truncated.onnx"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelUnreadable, match="not an ONNX model that onnxruntime can load"):
        Network.open(path)


@pytest.mark.parametrize("word", [b"tempo_bpm", b"Tiny test model", b"by_switch", b"Floor"])
def test_a_model_with_a_flipped_bit_in_a_name_is_refused(tiny_model, tmp_path, word):
    content = tiny_model.read_bytes()
    path = tmp_path / "flipped.onnx"
    path.write_bytes(content.replace(word, word[:-1] + b"\xf8", 1))
    with pytest.raises((ContractError, ModelUnreadable)):
        Network.open(path)


def test_a_model_of_another_program_is_refused(tmp_path):
    with pytest.raises(ContractError, match="no contract_version, expected a Lo-Fi Switchboard"):
        Network.open(tiny.build_foreign(tmp_path / "foreign.onnx"))


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelNotFound, match=r"none\.onnx: no model file there"):
        Network.open(tmp_path / "none.onnx")


def test_opening_a_model_writes_nothing_into_the_home_folder(tiny_model, tmp_path):
    play = (
        "import sys, pathlib; from device.model.network import Network; "
        "Network.open(pathlib.Path(sys.argv[1]))"
    )
    inherited = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    subprocess.run(
        [sys.executable, "-c", play, tiny_model],
        env={**inherited, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        check=True,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["1", "2", "3", "4", "5"])
@pytest.mark.parametrize("log_floor", [3.0, 1.0])
def test_a_log_floor_other_than_the_trainings_is_refused(build_model, log_floor, version):
    scores = {"scores": None} if version == "1" else {}
    true = {"contract_version": version, **scores}
    assert Network.open(build_model(metadata=true)).card.log_floor == tiny.LOG_FLOOR
    with pytest.raises(GoldenMismatch, match=f"log_floor of {log_floor:g}"):
        Network.open(build_model(metadata={**true, "log_floor": str(log_floor)}))


@pytest.mark.parametrize("log_floor", [-7.0, -6.0, -1.0, -9.0, -20.0])
def test_of_a_new_file_the_log_floor_is_checked_to_the_golden_tolerance(build_model, log_floor):
    with pytest.raises(GoldenMismatch, match="expected those of the training"):
        Network.open(build_model(metadata={"log_floor": str(log_floor)}))


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_file_without_golden_magnitudes_is_refused_if_its_log_floor_takes_its_music(
    build_model, version
):
    without_scores = {"scores": None} if version == "1" else {}
    old = {"contract_version": version, "log_floor": "3", **without_scores}
    with pytest.raises(GoldenMismatch, match="dB of it below the log_floor of 3"):
        Network.open(build_model(metadata=old))

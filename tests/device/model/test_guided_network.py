"""Models that draw the phase advance of their lowest bins, and older ones that do not."""

from dataclasses import replace

import numpy as np
import pytest

from device.errors import ContractError, GoldenMismatch
from device.model.contract import ModelCard, Tensor, check_tensors
from device.model.network import Network
from device.model.summary import describe as describe_file
from device.synthesis.performance import Performance
from device.synthesis.voice import Voice
from tests.support.tiny_model import Sizes, describe

N_GUIDED, N_BINS = 40, 129
CARD = describe(Sizes(n_guided=N_GUIDED))
LOOP = np.arange(64, dtype=np.float32) / 16
ON, MEAN = np.ones(3, np.float32), np.zeros(2, np.float32)


@pytest.fixture
def guided(build_model):
    return Network.open(build_model(n_guided=N_GUIDED))


def test_a_card_says_how_many_bins_are_guided():
    texts = CARD.to_metadata()
    assert (texts["n_guided"], texts["contract_version"]) == ("40", "5")
    assert ModelCard.from_metadata(texts) == CARD
    assert CARD.frame_size == N_BINS + 2 * N_GUIDED
    assert Tensor("phase_advance", "float32", (None, 80)) in CARD.tensors


def test_a_card_without_guided_bins_has_no_such_output():
    card = describe(Sizes())
    assert card.frame_size == card.n_bins
    assert "phase_advance" not in {tensor.name for tensor in card.tensors}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_older_versions_have_no_guided_bins(version):
    golden = replace(CARD.golden, phase_advance=())
    golden = golden if version == 3 else replace(golden, magnitude=())
    old = replace(CARD, contract_version=version, n_guided=0, golden=golden)
    assert "n_guided" not in old.to_metadata()
    assert ModelCard.from_metadata(old.to_metadata()) == old
    with pytest.raises(ContractError, match="n_guided: found 40, expected 0 to 0"):
        replace(old, n_guided=N_GUIDED)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_guided": N_BINS + 1}, "n_guided: found 130, expected 0 to 129"),
        ({"n_guided": -1}, "n_guided: found -1, expected 0 to 129"),
        ({"n_guided": 0}, "golden: found 320 phase advances in version 5, expected 0"),
        ({"n_guided": 39}, "golden: found 320 phase advances in version 5, expected 312"),
        (
            {"golden": replace(CARD.golden, phase_advance=(np.nan,) * 320)},
            "golden: found numbers that are not finite",
        ),
    ],
)
def test_other_numbers_of_guided_bins_are_refused(changes, words):
    with pytest.raises(ContractError, match=words):
        replace(CARD, **changes)


def test_a_graph_without_the_promised_phase_advance_is_refused():
    expected = r"'phase_advance': found nothing, expected float32 \(n, 80\)"
    with pytest.raises(ContractError, match=expected):
        check_tensors(CARD, CARD.tensors[:-1])


def test_a_frame_has_magnitudes_and_then_the_phase_advance(guided):
    score = guided.compose(ON, MEAN)
    log_magnitude, advance = guided.render(score, LOOP)
    assert (log_magnitude.shape, advance.shape) == ((64, N_BINS), (64, 2 * N_GUIDED))
    frames = guided.frames(score, LOOP)
    assert (frames.shape, frames.dtype) == ((64, guided.card.frame_size), np.float32)
    assert frames[:, N_BINS:] == pytest.approx(advance, abs=1e-6)
    assert np.hypot(*np.split(frames[:, N_BINS:], 2, axis=1)).max() > 0.5
    assert guided.n_not_finite == 0


def test_vectors_are_bounded_and_those_that_are_not_finite_are_0(guided, monkeypatch):
    log_magnitude, advance = guided.render(guided.compose(ON, MEAN), LOOP)
    advance = np.zeros_like(advance)
    advance[0, [0, N_GUIDED]] = 3.0, 4.0
    advance[0, 1] = 1e38
    advance[1, 0], advance[2, N_GUIDED], advance[3, 5] = np.nan, np.inf, -np.inf
    monkeypatch.setattr(guided, "render", lambda *_: (log_magnitude, advance))
    frames = guided.frames(None, LOOP)[:, N_BINS:]
    assert frames[0, [0, 1, N_GUIDED]] == pytest.approx([0.6, 1.0, 0.8])
    assert not frames[1:].any()
    assert guided.n_not_finite == 3


def test_a_phase_advance_other_than_the_golden_one_is_refused(guided, monkeypatch):
    render = guided.render

    def turned(*inputs):
        log_magnitude, advance = render(*inputs)
        return log_magnitude, advance + np.float32(0.05)

    monkeypatch.setattr(guided, "render", turned)
    with pytest.raises(GoldenMismatch, match=r"0\.05 of the phase advance, expected at most 0.001"):
        guided.replay_golden()


def test_a_summary_tells_the_number_of_guided_bins(build_model):
    assert describe_file(build_model(n_guided=N_GUIDED))["n_guided"] == N_GUIDED


def played(network):
    with Voice(network, Performance(seed=1)) as voice:
        return voice.take((True, False, True), 22050).tobytes()


def test_a_file_of_version_3_plays_as_a_new_one_without_guided_bins(build_model):
    old = Network.open(build_model(metadata={"contract_version": "3"}))
    assert (old.card.contract_version, old.card.n_guided) == (3, 0)
    assert played(old) == played(Network.open(build_model()))


def test_the_phase_advance_is_heard(guided, build_model):
    assert played(guided) != played(Network.open(build_model()))

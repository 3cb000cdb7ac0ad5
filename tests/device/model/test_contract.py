"""The model file's description of itself: what it may contain, and how it is written and read."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import ContractError, ModelNotFound, ModelTooLarge
from device.model.contract import (
    _LIMITS,
    ACCEPTED_VERSIONS,
    CONTRACT_VERSION,
    MAX_MODEL_BYTES,
    WINDOWS,
    ModelCard,
    Tensor,
    check_file,
    check_tensors,
)
from device.model.metadata import Golden
from device.synthesis.frame_cache import AHEAD_FRAMES
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.score_cache import MOST_SCORES
from tests.support.model_cards import CARD, REMEDY, metadata

OLD_GOLDEN = replace(CARD.golden, magnitude=())

float32s = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


def test_a_card_survives_being_written_and_read():
    assert ModelCard.from_metadata(CARD.to_metadata()) == CARD


def test_titles_labels_and_provenance_may_have_any_letters():
    card = replace(
        CARD, title="Später Kaffee ☕", switch_labels=("früh", "夜", "☕"), provenance={"ö": [1]}
    )
    assert ModelCard.from_metadata(card.to_metadata()) == card


def test_a_file_of_version_1_is_played_as_it_is():
    old = replace(CARD, contract_version=1, scores={}, golden=OLD_GOLDEN)
    texts = old.to_metadata()
    assert "scores" not in texts
    assert ModelCard.from_metadata(texts) == old


def test_the_newest_version_is_written_and_accepted():
    assert CARD.contract_version == CONTRACT_VERSION == max(ACCEPTED_VERSIONS)


def test_a_file_may_not_have_keys_of_a_later_version_than_its_own():
    with pytest.raises(ContractError, match="found the unknown key n_codes, n_guided, scores"):
        ModelCard.from_metadata(metadata(contract_version="1"))
    with pytest.raises(ContractError, match="scores: found scores in version 1, expected none"):
        replace(CARD, contract_version=1, scores={"codec_held_out_db": 1.7})


def test_scores_survive_being_written_and_read_to_the_last_bit():
    card = replace(CARD, scores={"codec_held_out_db": 1.7200000000000002, "n_loops": 120.0})
    assert ModelCard.from_metadata(card.to_metadata()) == card


@given(
    tempo=st.floats(20, 400),
    floor=st.floats(-30, 10, exclude_min=True, exclude_max=True),
    beats=st.integers(1, 256),
)
def test_numbers_survive_being_written_and_read_to_the_last_bit(tempo, floor, beats):
    card = replace(CARD, tempo_bpm=tempo, log_floor=floor, beats_per_loop=beats, n_slots=4 * beats)
    assert ModelCard.from_metadata(card.to_metadata()) == card


@given(float32s, float32s, float32s, float32s, st.floats(1e-9, 1e9))
def test_a_golden_vector_survives_being_packed_to_the_last_bit(a, b, c, d, tolerance):
    golden = Golden(tuple(a), tuple(b), tuple(c), tuple(d), tolerance)
    assert Golden.from_json(golden.to_json()) == golden


def test_a_frame_has_a_bin_for_every_frequency_up_to_half_the_sample_rate():
    assert CARD.n_bins == 256 // 2 + 1


@pytest.mark.parametrize("key", sorted(CARD.to_metadata()))
def test_every_key_is_required(key):
    texts = metadata()
    del texts[key]
    with pytest.raises(ContractError, match=rf"found no {key}, expected .*{REMEDY}"):
        ModelCard.from_metadata(texts)


def allowed_sizes():
    """Every valid card whose sizes are usual ones or at an end of their range."""
    sizes = {
        name: sorted({low, high, *(n for n in usual if low <= n <= high)})
        for (name, (low, high)), usual in zip(_LIMITS.items(), USUAL.values(), strict=True)
    }
    for n_fft, hop in product(sizes["n_fft"], sizes["hop_length"]):
        for beats, n_channels in product(sizes["beats_per_loop"], sizes["n_channels"]):
            changes = {"n_fft": n_fft, "hop_length": hop, "n_channels": n_channels}
            frames = (0.0,) * (n_fft // 2 + 1)
            golden = replace(CARD.golden, positions=(0.0,), log_magnitude=frames, magnitude=frames)
            with suppress(ContractError):
                loop = {"beats_per_loop": beats, "n_slots": 4 * beats}
                yield replace(CARD, **changes, **loop, golden=golden)


USUAL = {
    "sample_rate": (),
    "n_fft": (256, 720, 1024, 2048),
    "hop_length": (32, 64, 180, 256, 512),
    "n_switches": (),
    "n_variation": (),
    "n_slots": (),
    "n_channels": (8, 384, 512, 1024),
    "beats_per_loop": (4, 16, 32, 64),
}


def test_a_score_is_bounded_by_its_product_and_an_overlap_by_its_ratio():
    with pytest.raises(
        ContractError, match="found a score of 1024 x 4096 numbers, expected 131,072"
    ):
        replace(CARD, n_slots=1024, beats_per_loop=256, n_channels=4096)
    with pytest.raises(
        ContractError, match="found 8192 and 16, expected an n_fft of at most 32 ti"
    ):
        replace(CARD, n_fft=8192, hop_length=16)


def test_accepted_sizes_bound_the_memory_that_a_device_allocates():
    cards = list(allowed_sizes())
    assert len(cards) > 100
    for card in cards:
        ahead = MOST_SCORES * 4 * card.n_slots * card.n_channels
        # As many bins guided as there are.
        drawn = 4 * AHEAD_FRAMES * 3 * card.n_bins
        assert ahead <= 32 * 2**20
        assert drawn <= 3 * 2**20
    for n_fft, hop in {(card.n_fft, card.hop_length) for card in cards}:
        inversion = vars(GriffinLim(n_fft=n_fft, hop_length=hop))
        arrays = [a for a in inversion.values() if isinstance(a, np.ndarray) and a.base is None]
        assert sum(a.nbytes for a in arrays) <= 8 * 2**20


def test_an_invalid_card_cannot_be_made():
    with pytest.raises(ContractError, match="tempo_bpm"):
        replace(CARD, tempo_bpm=1000.0)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("n_overlapping", [4, 8])
def test_every_accepted_overlap_and_window_can_be_inverted(n_overlapping, window):
    card = replace(CARD, hop_length=CARD.n_fft // n_overlapping, window=window)
    inversion = GriffinLim(n_fft=card.n_fft, hop_length=card.hop_length, window=card.window)
    assert inversion.n_bins == card.n_bins


def test_a_graph_with_the_tensors_of_its_card_is_accepted_in_any_order():
    check_tensors(CARD, CARD.tensors[::-1])


def tensors(name, **changes):
    """The card's tensors with one of them changed."""
    return [replace(t, **changes) if t.name == name else t for t in CARD.tensors]


@pytest.mark.parametrize(
    ("graph_tensors", "words"),
    [
        (CARD.tensors[1:], r"tensor 'switches': found nothing, expected float32 \(3\)"),
        (CARD.tensors[:-1], r"tensor 'log_magnitude': found nothing, expected float32 \(n, 129\)"),
        (
            tensors("switches", shape=(4,)),
            r"tensor 'switches': found float32 \(4\), expected float32 \(3\)",
        ),
        (
            tensors("position", shape=(64,)),
            r"tensor 'position': found float32 \(64\), expected float32 \(n\)",
        ),
        (
            tensors("log_magnitude", shape=(None, 128)),
            r"tensor 'log_magnitude': found float32 \(n, 128\), expected float32 \(n, 129\)",
        ),
        (
            tensors("score_in", dtype="float16"),
            r"tensor 'score_in': found float16 \(16, 8\), expected float32 \(16, 8\)",
        ),
        (
            [*CARD.tensors, Tensor("echo", "float32", (None,))],
            r"graph: found the extra tensor echo, expected none",
        ),
        ([], r"tensor 'switches': found nothing"),
    ],
)
def test_a_graph_with_other_tensors_than_its_card_is_refused_by_name(graph_tensors, words):
    with pytest.raises(ContractError, match=words + f".*{REMEDY}"):
        check_tensors(CARD, graph_tensors)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ModelNotFound, match="no model file there; give one with --model"):
            check_file(path)


@pytest.mark.parametrize(("n_bytes", "is_refused"), [(MAX_MODEL_BYTES, False), (2**24 + 1, True)])
def test_a_file_may_be_as_large_as_the_contract_says_and_no_larger(tmp_path, n_bytes, is_refused):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(n_bytes)
    if is_refused:
        with pytest.raises(ModelTooLarge, match=r"16,777,217 bytes found, at most 16,777,216"):
            check_file(path)
    else:
        assert check_file(path) is None


def test_the_contract_needs_the_standard_library_alone():
    # -S: without site-packages nothing but the standard library can be imported at all.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import device.model.contract; "
        "ours = {n for n in sys.modules if n.partition('.')[0] == 'device'}; print(*sorted(ours))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-S", "-c", code, root], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        "device",
        "device.errors",
        "device.model",
        "device.model.contract",
        "device.model.metadata",
    ]

"""The model file's description of itself: what is read back, and what is refused and how."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
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
from device.model.metadata import Golden, plain
from device.synthesis.griffin_lim import GriffinLim
from device.synthesis.score_cache import MOST_SCORES
from device.synthesis.spectrogram import DRAWN_AHEAD_FRAMES
from tests.support.tiny_model import Sizes, describe

CARD = describe(Sizes())
OLD_GOLDEN = replace(CARD.golden, magnitude=())
REMEDY = "export the model again with `switchboard export`"

float32s = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


def metadata(**changes):
    return {**CARD.to_metadata(), **changes}


def golden_text(**changes):
    """The golden vector's text with parts replaced; None leaves a part out."""
    parts = {**json.loads(CARD.golden.to_json()), **changes}
    return json.dumps({name: part for name, part in parts.items() if part is not None})


def golden_of(**changes):
    return replace(CARD.golden, **changes).to_json()


def golden_frames(n_frames):
    """What changes in a golden vector of so many frames."""
    frames = (0.0,) * n_frames * CARD.n_bins
    return {"positions": (0.0,) * n_frames, "log_magnitude": frames, "magnitude": frames}


def test_a_card_survives_being_written_and_read():
    assert ModelCard.from_metadata(CARD.to_metadata()) == CARD


def test_titles_labels_and_provenance_may_hold_any_letters():
    card = replace(
        CARD, title="Später Kaffee ☕", switch_labels=("früh", "夜", "☕"), provenance={"ö": [1]}
    )
    assert ModelCard.from_metadata(card.to_metadata()) == card


def test_a_file_of_version_1_is_played_as_it_is():
    old = replace(CARD, contract_version=1, scores={}, golden=OLD_GOLDEN)
    texts = old.to_metadata()
    assert "scores" not in texts
    assert ModelCard.from_metadata(texts) == old


def test_the_newest_version_is_what_is_written_and_is_accepted():
    assert CARD.contract_version == CONTRACT_VERSION == max(ACCEPTED_VERSIONS)


def test_a_file_may_not_have_keys_of_a_later_version_than_its_own():
    with pytest.raises(ContractError, match="found the unknown key scores"):
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


REFUSED = [
    ("mood", "blue", r"found the unknown key mood, expected known keys only"),
    (
        "contract_version",
        "4",
        r"contract_version: found 4, expected 1 or 2 or 3; the file is newer",
    ),
    ("contract_version", "0", r"contract_version: found 0, expected 1 or 2 or 3; export"),
    ("contract_version", "1.0", r"contract_version: found '1.0', expected a whole number"),
    ("contract_version", "", r"contract_version: found '', expected a whole number"),
    ("sample_rate", "22050.5", r"sample_rate: found '22050.5', expected a whole number"),
    ("sample_rate", "-22050", r"sample_rate: found '-22050', expected a whole number"),
    ("sample_rate", "２２０５０", r"sample_rate: found .*, expected a whole number"),
    ("sample_rate", "9" * 5000, r"sample_rate: found '9+', expected a whole number"),
    ("sample_rate", "", r"sample_rate: found '', expected a whole number"),
    ("sample_rate", "4000", r"sample_rate: found 4000, expected 8000 to 96000"),
    ("n_fft", "64", r"n_fft: found 64, expected 128 to 8192"),
    ("n_switches", "0", r"n_switches: found 0, expected 1 to 16"),
    ("n_switches", "17", r"n_switches: found 17, expected 1 to 16"),
    ("n_channels", "99999999", r"n_channels: found 99999999, expected 1 to 4096"),
    ("n_slots", "12", r"n_slots: found 12, expected 4 a beat, 16"),
    ("hop_length", "60", r"n_fft and hop_length: found 256 and 60, expected .* multiple"),
    ("hop_length", "256", r"n_fft and hop_length: found 256 and 256, expected .* multiple"),
    ("window", "hamming", r"window: found 'hamming', expected 'hann' or 'asymmetric'"),
    ("log_floor", "nan", r"log_floor: found 'nan', expected a finite number"),
    ("log_floor", "-inf", r"log_floor: found '-inf', expected a finite number"),
    ("log_floor", "low", r"log_floor: found 'low', expected a finite number"),
    ("log_floor", "-31", r"log_floor: found -31.0, expected a number between -30 and 10"),
    ("tempo_bpm", "nan", r"tempo_bpm: found 'nan', expected a finite number"),
    ("log_floor", "-1_0", r"log_floor: found '-1_0', expected a finite number"),
    ("log_floor", "\u0663", r"log_floor: found '\u0663', expected a finite number"),
    ("log_floor", " -8.0", r"log_floor: found ' -8.0', expected a finite number"),
    ("log_floor", "1" * 200_000, r"log_floor: found '1{40}', expected a finite number"),
    ("tempo_bpm", "8_0", r"tempo_bpm: found '8_0', expected a finite number"),
    ("tempo_bpm", "+80", r"tempo_bpm: found '\+80', expected a finite number"),
    ("tempo_bpm", "infinity", r"tempo_bpm: found 'infinity', expected a finite number"),
    ("n_fft", "2_56", r"n_fft: found '2_56', expected a whole number"),
    ("n_fft", "\u0662\u0665\u0666", r"n_fft: found .*, expected a whole number"),
    ("tempo_bpm", "0", r"tempo_bpm: found 0.0, expected 20 to 400"),
    ("title", "  ", r"title: found '  ', expected 1 to 200 characters"),
    ("title", "x" * 201, r"title: found .*, expected 1 to 200 characters"),
    ("switch_labels", "Rain", r"switch_labels: found text that is not JSON .*, expected JSON"),
    ("switch_labels", '"Rain"', r"switch_labels: found .*, expected a JSON list of texts"),
    ("switch_labels", "[1, 2, 3]", r"switch_labels: found .*, expected a JSON list of texts"),
    ("switch_labels", '["a", "b"]', r"switch_labels: found 2 labels, expected 3, one per switch"),
    ("switch_labels", '["a", "b", " "]', r"switch_labels: found an empty or long label"),
    ("provenance", "[]", r"provenance: found list, expected a JSON object"),
    ("provenance", "{", r"provenance: found text that is not JSON"),
    ("provenance", "[" * 100_000, r"provenance: found text that is not JSON"),
    ("provenance", '{"n": 1e999}', r"provenance: found the number inf, expected finite ones"),
    ("provenance", '{"n": NaN}', r"provenance: found the number nan, expected finite ones"),
    ("provenance", f'{{"n": {10**300}}}', r"provenance: found the number 10{39}, expected finite"),
    ("provenance", f'{{"n": {"9" * 200_000}}}', r"provenance: found text that is not JSON"),
    ("provenance", json.dumps({"a": "x" * 10_001}), r"provenance: found a text of 10,001"),
    ("provenance", '{"a":' * 30 + "1" + "}" * 30, r"provenance: found values 21 deep"),
    ("provenance", json.dumps({"a": "x " * 600_000}), r"metadata: found 1,2\d\d,\d+ characters"),
    ("scores", "[]", r"scores: found list, expected a JSON object"),
    ("scores", "1.72", r"scores: found float, expected a JSON object"),
    ("scores", '{"db": NaN}', r"scores: found 'nan', expected a finite number"),
    ("scores", '{"db": 1e999}', r"scores: found 'inf', expected a finite number"),
    ("scores", f'{{"db": {10**400}}}', r"scores: found '10+', expected a finite number"),
    ("scores", '{"db": "1.72"}', r"scores: found '1.72', expected a finite number"),
    ("scores", '{"db": true}', r"scores: found 'True', expected a finite number"),
    ("scores", '{"db": null}', r"scores: found 'None', expected a finite number"),
    ("scores", '{"Held out": 1}', r"scores: found the name 'Held out', expected lower case"),
    ("scores", json.dumps({f"s{i}": i for i in range(65)}), r"scores: found 65 of them, expected"),
    ("golden", "null", r"golden: found NoneType, expected a JSON object"),
    ("golden", golden_text(positions=None), r"golden: found the parts .*, expected .*'positions'"),
    ("golden", golden_text(mood=1), r"golden: found the parts .*'mood'.*, expected"),
    ("golden", golden_text(tolerance=0), r"golden tolerance: found 0.0, expected more than 0"),
    ("golden", golden_text(tolerance="1"), r"golden tolerance: found '1', expected a finite"),
    ("golden", golden_text(tolerance=10**400), r"golden tolerance: found '10+', expected a finite"),
    ("golden", golden_text(tolerance=float("nan")), r"golden tolerance: found 'nan', expected"),
    (
        "golden",
        golden_text(tolerance=1e30),
        r"golden tolerance: found 1e\+30, expected at most 0.1",
    ),
    (
        "golden",
        golden_text(magnitude=None),
        r"golden: found 0 magnitudes in version 3, expected 516",
    ),
    ("golden", golden_text(magnitude="AAAA"), r"golden: found damaged numbers"),
    (
        "golden",
        golden_of(magnitude=(0.0,)),
        r"golden: found 1 magnitudes in version 3, expected 51",
    ),
    ("golden", golden_of(**golden_frames(65)), r"golden: found 65 positions, expected at most 64"),
    ("golden", golden_text(switches=[1]), r"golden: found list, expected packed numbers"),
    ("golden", golden_text(switches="!!"), r"golden: found damaged numbers .*, expected packed"),
    ("golden", golden_text(switches="AAAA"), r"golden: found damaged numbers .*, expected packed"),
    ("golden", golden_of(switches=(0.0, 1.0)), r"golden: found \(2, 2, 516\) numbers, expected"),
    ("golden", golden_of(variation=()), r"golden: found \(3, 0, 516\) numbers, expected \(3, 2"),
    ("golden", golden_of(log_magnitude=(0.0,)), r"golden: found \(3, 2, 1\) numbers, expected"),
    ("golden", golden_of(positions=(), log_magnitude=()), r"golden: found \(3, 2, 0\) numbers"),
    ("golden", golden_of(variation=(0.0, float("nan"))), r"golden: found numbers that are not fin"),
]


@pytest.mark.parametrize(("key", "text", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_is_refused_and_named(key, text, said):
    with pytest.raises(ContractError, match=rf"^model {said if key != 'mood' else '.*' + said}"):
        ModelCard.from_metadata(metadata(**{key: text}))


@pytest.mark.parametrize(("key", "text", "said"), REFUSED, ids=lambda value: str(value)[:40])
def test_every_refusal_is_one_short_line_that_says_what_to_do(key, text, said):
    with pytest.raises(ContractError) as refusal:
        ModelCard.from_metadata(metadata(**{key: text}))
    assert str(refusal.value).endswith(REMEDY)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


# Characters by what they do: controls, ends of lines, direction, joiners, tags, nothing to be seen.
UNPLAIN = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u2028\u2029",
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u00ad\u200b\u200c\u200d\u2060\ufeff\ufff9\U000e0041",
    *"\u034f\u115f\u3164\ufffe\uffff\U0010ffff\ufdd0",
    *"\ud800\udfff",
]


@pytest.mark.parametrize("character", UNPLAIN, ids=lambda c: f"U+{ord(c):04X}")
def test_characters_that_cannot_be_seen_are_refused_in_every_text(character):
    text = f"a{character}b"
    for changes in (
        {"title": text},
        {"switch_labels": json.dumps(["a", text, "c"])},
        {"provenance": json.dumps({"a": [{"b": text}]})},
        {"provenance": json.dumps({"a": {text: 1}})},
    ):
        with pytest.raises(ContractError, match=f"the character U\\+{ord(character):04X}") as error:
            ModelCard.from_metadata(metadata(**changes))
        assert str(error.value).isprintable()


@settings(max_examples=20)
@given(st.text(max_size=300))
def test_whatever_a_file_says_its_refusal_is_one_line_that_can_be_printed(text):
    for changes in ({key: text} for key in CARD.to_metadata()):
        try:
            card = ModelCard.from_metadata(metadata(**changes))
        except ContractError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 500
        else:
            assert card.title.encode()
    with pytest.raises(ContractError) as refusal:
        ModelCard.from_metadata({**metadata(), f"x{text}": ""})
    assert str(refusal.value).isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=50)
@given(json_values)
def test_what_was_made_plain_is_accepted_as_provenance(value):
    card = replace(CARD, provenance={"quoted": plain(value)})
    assert ModelCard.from_metadata(card.to_metadata()).provenance == card.provenance


def test_plain_values_stay_what_they_are():
    value = {"Später ☕": [1, 2.5, True, None, "夜\ufe0f"]}
    assert plain(value) == value


def allowed_sizes():
    """Every card whose sizes are at an end of their range or a usual one, if it may be."""
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


def test_no_sizes_that_are_accepted_make_a_box_allocate_much():
    cards = list(allowed_sizes())
    assert len(cards) > 100
    for card in cards:
        ahead = MOST_SCORES * 4 * card.n_slots * card.n_channels
        drawn = 4 * DRAWN_AHEAD_FRAMES * card.n_bins
        assert ahead <= 32 * 2**20
        assert drawn <= 2 * 2**20
    for n_fft, hop in {(card.n_fft, card.hop_length) for card in cards}:
        inversion = vars(GriffinLim(n_fft=n_fft, hop_length=hop))
        arrays = [a for a in inversion.values() if isinstance(a, np.ndarray) and a.base is None]
        assert sum(a.nbytes for a in arrays) <= 8 * 2**20


def test_a_card_cannot_be_made_wrong_in_the_first_place():
    with pytest.raises(ContractError, match="tempo_bpm"):
        replace(CARD, tempo_bpm=1000.0)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("n_overlapping", [4, 8])
def test_an_overlap_and_a_window_that_a_card_may_have_can_be_inverted(n_overlapping, window):
    card = replace(CARD, hop_length=CARD.n_fft // n_overlapping, window=window)
    inversion = GriffinLim(n_fft=card.n_fft, hop_length=card.hop_length, window=card.window)
    assert inversion.n_bins == card.n_bins


def test_a_graph_that_keeps_the_promise_is_accepted_in_any_order():
    check_tensors(CARD, CARD.tensors[::-1])


def tensors(name, **changes):
    """The promised tensors with one of them changed."""
    return [replace(t, **changes) if t.name == name else t for t in CARD.tensors]


@pytest.mark.parametrize(
    ("found", "said"),
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
def test_a_graph_that_breaks_the_promise_is_refused_with_the_tensor_named(found, said):
    with pytest.raises(ContractError, match=said + f".*{REMEDY}"):
        check_tensors(CARD, found)


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

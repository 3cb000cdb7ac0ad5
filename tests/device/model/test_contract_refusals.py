"""Descriptions that do not fit the contract are refused in one short line that names the key."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.errors import ContractError
from device.model.contract import (
    ModelCard,
)
from device.model.metadata import plain
from tests.support.model_cards import CARD, REMEDY, golden_frames, golden_of, golden_text, metadata

REFUSED = [
    ("mood", "blue", r"found the unknown key mood, expected known keys only"),
    (
        "contract_version",
        "6",
        r"contract_version: found 6, expected 1 or 2 or 3 or 4 or 5; the file is newer",
    ),
    ("contract_version", "0", r"contract_version: found 0, expected 1 or 2 or 3 or 4 or 5; export"),
    ("contract_version", "1.0", r"contract_version: found '1.0', expected a whole number"),
    ("contract_version", "", r"contract_version: found '', expected a whole number"),
    ("sample_rate", "22050.5", r"sample_rate: found '22050.5', expected a whole number"),
    ("sample_rate", "-22050", r"sample_rate: found '-22050', expected a whole number"),
    ("sample_rate", "２２０５０", r"sample_rate: found .*, expected a whole number"),
    ("sample_rate", "9" * 5000, r"sample_rate: found '9+', expected a whole number"),
    ("sample_rate", "", r"sample_rate: found '', expected a whole number"),
    ("sample_rate", "4000", r"sample_rate: found 4000, expected 8000 to 96000"),
    ("n_fft", "64", r"n_fft: found 64, expected 128 to 8192"),
    ("n_switches", "0", r"n_switches: found 0, expected 1 to 64"),
    ("n_switches", "65", r"n_switches: found 65, expected 1 to 64"),
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
        r"golden: found 0 magnitudes in version 5, expected 516",
    ),
    ("golden", golden_text(magnitude="AAAA"), r"golden: found damaged numbers"),
    (
        "golden",
        golden_of(magnitude=(0.0,)),
        r"golden: found 1 magnitudes in version 5, expected 51",
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


@pytest.mark.parametrize(("key", "text", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_an_invalid_value_is_refused_with_its_key_named(key, text, words):
    with pytest.raises(ContractError, match=rf"^model {words if key != 'mood' else '.*' + words}"):
        ModelCard.from_metadata(metadata(**{key: text}))


@pytest.mark.parametrize(("key", "text", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_every_refusal_is_one_short_line_with_a_remedy(key, text, words):
    with pytest.raises(ContractError) as refusal:
        ModelCard.from_metadata(metadata(**{key: text}))
    assert str(refusal.value).endswith(REMEDY)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


# Characters by kind: controls, ends of lines, direction, joiners and tags, invisible ones.
REFUSED_CHARACTERS = [
    *map(chr, (*range(0x20), *range(0x7F, 0xA0))),
    *"\u2028\u2029",
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    *"\u00ad\u200b\u200c\u200d\u2060\ufeff\ufff9\U000e0041",
    *"\u034f\u115f\u3164\ufffe\uffff\U0010ffff\ufdd0",
    *"\ud800\udfff",
]


@pytest.mark.parametrize("character", REFUSED_CHARACTERS, ids=lambda c: f"U+{ord(c):04X}")
def test_invisible_characters_are_refused_in_every_text(character):
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
def test_the_refusal_of_any_text_is_one_printable_line(text):
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
def test_a_value_made_plain_is_accepted_as_provenance(value):
    card = replace(CARD, provenance={"quoted": plain(value)})
    assert ModelCard.from_metadata(card.to_metadata()).provenance == card.provenance


def test_plain_values_stay_unchanged():
    value = {"Später ☕": [1, 2.5, True, None, "夜\ufe0f"]}
    assert plain(value) == value

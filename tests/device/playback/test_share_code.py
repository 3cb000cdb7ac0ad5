"""Share codes: short, checked, and the same music again."""

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import ShareCodeError
from device.playback.share_code import ALPHABET, SharedPosition, position_of
from tests.support.instrument_state import snapshot

POSITION = SharedPosition(
    "a987502bc490", (False, True, True, False, False, True, False, True), 1, None, False, 9000
)

positions = st.builds(
    SharedPosition,
    digest=st.text("0123456789abcdef", min_size=6, max_size=6),
    bits=st.lists(st.booleans(), min_size=1, max_size=64).map(tuple),
    seed=st.integers(0, 2**40),
    tempo_bpm=st.none() | st.integers(2000, 40000).map(lambda n: n / 100),
    still=st.booleans(),
    n_slots=st.integers(0, 2**34),
    journey=st.booleans(),
)


@given(positions)
def test_a_parsed_code_is_the_position_it_was_made_from(position):
    assert SharedPosition.parse(position.code) == position


@given(positions, st.data())
def test_a_code_with_a_wrong_character_is_refused(position, data):
    code = position.code.replace("-", "")
    at = data.draw(st.integers(0, len(code) - 1))
    wrong = data.draw(st.sampled_from([c for c in ALPHABET if c != code[at]]))
    with pytest.raises(ShareCodeError):
        SharedPosition.parse(code[:at] + wrong + code[at + 1 :])


def test_a_code_with_two_swapped_characters_is_refused():
    code = POSITION.code.replace("-", "")
    for i, j in combinations(range(len(code)), 2):
        swapped = list(code)
        swapped[i], swapped[j] = code[j], code[i]
        if code[i] != code[j]:
            with pytest.raises(ShareCodeError, match="wrong, missing or swapped"):
                SharedPosition.parse("".join(swapped))


def test_an_hour_into_the_music_a_code_has_fifteen_characters_in_groups_of_four():
    assert [len(group) for group in POSITION.code.split("-")] == [4, 4, 4, 3]


def test_letters_that_look_like_digits_are_read_as_digits():
    code = replace(POSITION, digest="000000", seed=17).code
    assert "0" in code
    assert "1" in code
    spoken = code.replace("0", "o").replace("1", "l").replace("-", " ").lower()
    assert SharedPosition.parse(spoken) == SharedPosition.parse(code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("", "no code has"),
        ("U000", "no code has"),
        ("ÄÖÜ", "no code has"),
        ("00", "wrong, missing or swapped"),
        ("000", "version 0"),
        ("Z", "wrong, missing or swapped"),
    ],
)
def test_an_invalid_code_is_refused_in_one_line(code, words):
    with pytest.raises(ShareCodeError, match=words) as refusal:
        SharedPosition.parse(code)
    assert "\n" not in str(refusal.value)


def checked(payload):
    payload += "0" * (-len(payload) % 5)
    bits = payload + f"{int(payload, 2) % 1021:010b}"
    return "".join(ALPHABET[int(bits[i : i + 5], 2)] for i in range(0, len(bits), 5))


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("0100" + "0" * 24 + "0000", "less than"),
        ("0100" + "0" * 24 + "0000" + "1" + "00000" * 2 + "00001", "more than"),
        ("0101" + "0" * 24 + "0000" + "1" + "00000" * 2 + f"{1900:016b}", "19.0 bpm"),
        ("0100" + "0" * 24 + "0000" + "1" + "11111" * 9, "less than"),
    ],
)
def test_a_code_with_invalid_content_is_refused_though_its_check_is_right(payload, words):
    with pytest.raises(ShareCodeError, match=words):
        SharedPosition.parse(checked(payload))


def test_the_position_of_an_instrument_is_that_of_its_latest_16th():
    state = snapshot(position=130.74, fixed_tempo_bpm=72.5, seed=3, sounding=(False, True))
    position = position_of(state)
    assert position.beat == 130.5
    assert (position.bits, position.tempo_bpm, position.seed) == ((False, True), 72.5, 3)
    assert SharedPosition.parse(position.code).digest == state.digest[:6]

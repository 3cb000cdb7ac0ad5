"""Switch states as text, debouncing, and the switches that need no hardware."""

import codecs
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.errors import BitsError, ScriptError
from device.switches.bits import fit, format_bits, parse_bits, size_mismatch_warning
from device.switches.debounce import Debounce
from device.switches.script import DEMO_SCRIPT, ScriptSwitches, demo_switches, load_script

LOCKOUT = 0.03

bits_of_any_length = st.lists(st.booleans(), min_size=1, max_size=16).map(tuple)
polls = st.lists(
    st.tuples(st.floats(0.0005, 0.05), st.tuples(st.booleans(), st.booleans(), st.booleans())),
    min_size=1,
    max_size=80,
)


def outputs_of(debounce, steps):
    """(time, raw, output) for every poll; steps are (pause before it, raw)."""
    now, outputs = 100.0, []
    for pause, raw in steps:
        now += pause
        outputs.append((now, raw, debounce.update(raw, now)))
    return outputs


@given(bits_of_any_length)
def test_formatted_bits_are_parsed_back(bits):
    assert parse_bits(format_bits(bits), len(bits)) == bits


@pytest.mark.parametrize("text", ["", "101", "10101", "10x1", "10 1", "１０１０", "true"])
def test_bits_of_another_length_or_alphabet_are_refused(text):
    with pytest.raises(BitsError, match="expected 4 characters 0 or 1; write one per switch"):
        parse_bits(text, 4)


def test_a_flip_passes_at_once():
    debounce = Debounce(2, LOCKOUT)
    assert debounce.update((True, False), 0.0) == (True, False)


def test_switches_set_before_the_start_pass_at_the_first_read():
    assert Debounce(3, LOCKOUT).update((True, False, True), 5.0) == (True, False, True)


def test_bounce_is_suppressed_on_closing_and_on_opening():
    debounce = Debounce(1, LOCKOUT)
    closing = [
        debounce.update((level,), t) for t, level in [(0, True), (0.01, False), (0.02, True)]
    ]
    opening = [
        debounce.update((level,), t) for t, level in [(1, False), (1.01, True), (1.02, False)]
    ]
    assert closing == [(True,)] * 3
    assert opening == [(False,)] * 3


def test_a_flip_back_during_the_lockout_passes_right_after_it():
    debounce = Debounce(1, LOCKOUT)
    debounce.update((True,), 0.0)
    assert debounce.update((False,), 0.5 * LOCKOUT) == (True,)
    assert debounce.update((False,), LOCKOUT) == (False,)


def test_a_bouncing_contact_does_not_lock_another_one():
    debounce = Debounce(2, LOCKOUT)
    debounce.update((True, False), 0.0)
    assert debounce.update((False, True), 0.001) == (True, True)


@given(polls)
def test_a_contact_changes_at_most_once_per_lockout(steps):
    outputs = outputs_of(Debounce(3, LOCKOUT), steps)
    for contact in range(3):
        levels = [False, *(output[contact] for _, _, output in outputs)]
        changes = [outputs[i][0] for i in range(len(outputs)) if levels[i + 1] != levels[i]]
        assert all(b - a >= LOCKOUT - 1e-9 for a, b in pairwise(changes))


@given(polls, st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_a_contact_at_rest_for_longer_than_the_lockout_has_its_level(steps, rest):
    debounce = Debounce(3, LOCKOUT)
    settling = [(0.001, rest), (1.01 * LOCKOUT, rest)]
    assert outputs_of(debounce, [*steps, *settling])[-1][2] == rest


@given(polls)
def test_debounced_output_only_has_levels_that_were_read(steps):
    before = (False,) * 3
    for _, raw, output in outputs_of(Debounce(3, LOCKOUT), steps):
        assert all(o in (r, b) for o, r, b in zip(output, raw, before, strict=True))
        before = output


@pytest.mark.parametrize(
    ("n_model", "expected"),
    [(2, (True, False)), (3, (True, False, True)), (5, (True, False, True, False, False))],
)
def test_bits_of_another_length_are_cut_or_padded_with_off(n_model, expected):
    assert fit((True, False, True), n_model) == expected


def test_a_size_mismatch_is_reported_with_both_numbers():
    assert (
        size_mismatch_warning(3, 8)
        == "there are 3 switches, the model has 8: the missing ones stay off"
    )
    assert (
        size_mismatch_warning(8, 3)
        == "there are 8 switches, the model has 3: the extra ones are ignored"
    )
    assert size_mismatch_warning(3, 3) is None


def write_script(tmp_path, text):
    path = tmp_path / "flips.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_script_is_off_before_its_first_line_and_holds_after_its_last(tmp_path):
    path = write_script(tmp_path, "# a comment\n\n1.5 100  # one\n3 011\n")
    with load_script(path, 3) as switches:
        states = [format_bits(switches.read(t)) for t in (0, 1.499, 1.5, 2.9, 3, 1e6)]
        assert states == ["000", "000", "100", "100", "011", "011"]
        assert not switches.finished


def test_an_empty_script_is_all_off(tmp_path):
    assert load_script(write_script(tmp_path, ""), 2).read(7.0) == (False, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 100\n1 10", r"flips\.txt:2: switches: found '10', expected 3 characters"),
        ("0 1o0", r"flips\.txt:1: switches: found '1o0'"),
        ("0", r"flips\.txt:1: found '0', expected seconds and bits"),
        ("0 1 0 0", r"flips\.txt:1: found '0 1 0 0', expected seconds and bits"),
        ("# hi\nsoon 100", r"flips\.txt:2: found 'soon', expected seconds from 0 on"),
        ("-1 100", r"flips\.txt:1: found '-1', expected seconds"),
        ("nan 100", r"flips\.txt:1: found 'nan', expected seconds"),
        ("inf 100", r"flips\.txt:1: found 'inf', expected seconds"),
        ("2 100\n2 000", r"flips\.txt:2: found 2 s, expected more than the 2 s before it"),
    ],
)
def test_a_malformed_script_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(ScriptError, match=message):
        load_script(write_script(tmp_path, text), 3)


def test_a_script_that_cannot_be_read_is_refused(tmp_path):
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.txt", tmp_path, binary):
        with pytest.raises(ScriptError, match="expected a text file of lines like"):
            load_script(path, 8)


@pytest.mark.parametrize("n_switches", [1, 2, 3, 5, 8, 11, 16])
def test_the_demo_fits_any_number_of_switches_and_flips_each(n_switches):
    switches = demo_switches(n_switches)
    states = [switches.read(t) for t in (2.5 * i for i in range(8))]
    assert all(len(state) == n_switches for state in states)
    assert all(len(set(levels)) == 2 for levels in zip(*states, strict=True))


def test_the_demo_changes_at_every_line_and_starts_again_after_twenty_seconds():
    switches = demo_switches(8)
    states = [switches.read(t) for t in (2.5 * i for i in range(17))]
    assert all(a != b for a, b in pairwise(states))
    assert states[8:16] == states[:8]
    assert format_bits(states[0]) == DEMO_SCRIPT[0][1]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20, unique=True), st.floats(0, 200))
def test_a_script_has_the_state_of_its_latest_line(times, seconds):
    flips = [(t, (i % 2 == 0,)) for i, t in enumerate(sorted(times))]
    latest = [bits for t, bits in flips if t <= seconds]
    assert ScriptSwitches(flips, 1).read(seconds) == (latest[-1] if latest else (False,))


def test_a_script_may_have_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "flips.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"0 100\r\n1 010\r\n")
    switches = load_script(path, 3)
    assert [format_bits(switches.read(seconds)) for seconds in (0.5, 1.5)] == ["100", "010"]

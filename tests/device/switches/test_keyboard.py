"""Switches on the keyboard, on a pseudo-terminal."""

import os
import subprocess
import sys
import termios

import numpy as np
import pytest

from device.errors import SwitchesUnavailable
from device.switches.bits import format_bits
from device.switches.keyboard import KeyboardSwitches, key_help


class Terminal:
    """A pseudo-terminal: `type` is the player's side, `fd` the program's."""

    def __init__(self):
        self.keys, self.fd = os.openpty()
        self.hung_up = False

    def type(self, keys):
        os.write(self.keys, keys)

    def mode(self):
        return termios.tcgetattr(self.fd)

    def hang_up(self):
        os.close(self.keys)
        self.hung_up = True

    def close(self):
        if not self.hung_up:
            os.close(self.keys)
        os.close(self.fd)


@pytest.fixture
def terminal():
    pair = Terminal()
    yield pair
    pair.close()


def open_switches(terminal, n_switches=8, print_share_code=lambda: None, start=None):
    rng = np.random.default_rng(0)
    return KeyboardSwitches(
        n_switches, rng=rng, print_share_code=print_share_code, start=start, fd=terminal.fd
    )


def after(terminal, keys, n_switches=8):
    with open_switches(terminal, n_switches) as switches:
        terminal.type(keys)
        return format_bits(switches.read(0.0))


@pytest.mark.parametrize(
    ("keys", "bits"),
    [
        (b"", "00000000"),
        (b"1", "10000000"),
        (b"138", "10100001"),
        (b"11", "00000000"),
        (b"9x?\t", "00000000"),
        (b"1230", "00000000"),
        (b"1\x1b[A\x1b[1;5C\x1bOP2", "11000000"),
        (b"1\xc3\xa92", "11000000"),
    ],
)
def test_keys_toggle_their_switches_and_others_do_nothing(terminal, keys, bits):
    assert after(terminal, keys) == bits


def test_switches_beyond_the_ninth_have_letters_and_arrow_keys_have_no_effect(terminal):
    assert after(terminal, b"9ac", 16) == "0000000011010000"
    assert after(terminal, b"g", 16) == "0" * 15 + "1"
    assert after(terminal, b"A", 16) == "0" * 9 + "1" + "0" * 6
    assert after(terminal, b"\x1b[A", 16) == "0" * 16


def test_reading_does_not_wait_for_a_key(terminal):
    with open_switches(terminal) as switches:
        assert switches.read(0.0) == switches.read(1.0) == (False,) * 8


@pytest.mark.parametrize("n_switches", [1, 8])
def test_r_always_flips_a_switch(terminal, n_switches):
    with open_switches(terminal, n_switches) as switches:
        before = switches.read(0.0)
        for _ in range(20):
            terminal.type(b"r")
            now = switches.read(0.0)
            assert now != before
            before = now


def test_the_space_bar_prints_the_share_code_and_flips_nothing(terminal):
    prints = []
    with open_switches(terminal, 4, lambda: prints.append(1)) as switches:
        terminal.type(b"13  ")
        assert format_bits(switches.read(0.0)) == "1010"
    assert len(prints) == 2


def test_the_switches_may_be_set_at_the_start(terminal):
    with open_switches(terminal, 4, start=(True, False, True)) as switches:
        assert format_bits(switches.read(0.0)) == "1010"


@pytest.mark.parametrize(("n_switches", "bits"), [(2, "01"), (6, "010100")])
def test_a_model_with_another_number_of_switches_keeps_the_states_of_the_rest(
    terminal, n_switches, bits
):
    with open_switches(terminal, 4) as switches:
        terminal.type(b"24")
        switches.read(0.0)
        switches.fit(n_switches)
        assert format_bits(switches.read(0.0)) == bits
        terminal.type(b"6")
        assert format_bits(switches.read(0.0)) == bits[:5] + ("1" if n_switches == 6 else "")


def test_q_quits(terminal):
    with open_switches(terminal) as switches:
        assert not switches.finished
        terminal.type(b"q")
        switches.read(0.0)
        assert switches.finished


def test_the_terminals_mode_is_restored_even_after_an_exception(terminal):
    before = terminal.mode()
    with pytest.raises(RuntimeError), open_switches(terminal):
        assert not terminal.mode()[3] & (termios.ICANON | termios.ECHO)
        raise RuntimeError
    assert terminal.mode() == before


def test_closing_twice_is_fine_and_closed_switches_leave_the_terminal_alone(terminal):
    switches = open_switches(terminal)
    switches.close()
    switches.close()
    before = terminal.mode()
    terminal.type(b"1")
    assert switches.read(0.0) == (False,) * 8
    assert terminal.mode() == before


def test_interrupts_still_work_while_the_switches_are_open(terminal):
    with open_switches(terminal):
        assert terminal.mode()[3] & termios.ISIG


def test_a_mode_set_by_another_program_is_corrected(terminal):
    cooked = terminal.mode()
    with open_switches(terminal) as switches:
        termios.tcsetattr(terminal.fd, termios.TCSANOW, cooked)
        switches.read(0.0)
        terminal.type(b"2")
        assert format_bits(switches.read(0.0)) == "01000000"


def test_at_the_end_of_input_the_state_is_held(terminal):
    with open_switches(terminal) as switches:
        terminal.type(b"15")
        switches.read(0.0)
        terminal.hang_up()
        assert format_bits(switches.read(1.0)) == format_bits(switches.read(2.0)) == "10001000"
        assert not switches.finished


def test_a_pipe_is_refused():
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(SwitchesUnavailable, match="not a terminal, expected a terminal"):
            KeyboardSwitches(8, rng=np.random.default_rng(0), print_share_code=print, fd=read_end)
    finally:
        os.close(read_end)
        os.close(write_end)


@pytest.mark.parametrize(
    ("n_switches", "keys"), [(1, "1 switch"), (8, "1-8 switch"), (16, "1-9 a-g switch")]
)
def test_the_help_names_the_available_keys(n_switches, keys):
    assert key_help(n_switches).startswith(keys)


PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs tests behind
import numpy as np
fd = os.open(sys.argv[1], os.O_RDWR)  # a session leader's first terminal becomes its own
from device.switches.keyboard import KeyboardSwitches
try:
    rng = np.random.default_rng(0)
    with KeyboardSwitches(8, rng=rng, print_share_code=print, fd=fd) as switches:
        print("ready", flush=True)
        while not switches.finished:
            switches.read(0.0)
            time.sleep(0.01)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_interrupts_and_leaves_the_terminal_as_it_was(terminal):
    before = terminal.mode()
    command = [sys.executable, "-c", PROGRAM, os.ttyname(terminal.fd)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as program:
        try:
            assert program.stdout.readline() == "ready\n"
            terminal.type(b"\x03")
            assert program.communicate(timeout=60)[0] == "interrupted\n"
        finally:
            program.kill()
    assert terminal.mode() == before

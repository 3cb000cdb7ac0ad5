"""Switches on an expander, beside those on the header, with a stand-in for the kernel's chips."""

import json

import pytest

from device.cli import main
from device.errors import SwitchesUnavailable
from device.switches import expander
from device.switches.gpio import GpioSwitches
from device.switches.pinout import ChipLine, describe, parse_pin
from device.switches.wiring import Wiring
from tests.support.gpio_chips import Chip, install_chips
from tests.support.waiting import wait_until

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")

A, B = ChipLine(1, 0), ChipLine(1, 9)
PINS = (5, A, 6, B)


@pytest.fixture
def chips(monkeypatch, tmp_path, mock_pins):
    # Slow machines answer later than the loop would wait.
    monkeypatch.setattr(expander, "WAIT_SECONDS", 60.0)
    return install_chips(monkeypatch, tmp_path / "dev", {number: Chip() for number in (1, 2, 3, 4)})


def test_lines_and_pins_are_switches_in_the_order_of_the_list(chips, mock_pins):
    with GpioSwitches(PINS, clock=iter(range(100)).__next__) as switches:
        assert switches.n_switches == 4
        assert switches.read(0.0) == (False, False, False, False)
        chips[1].levels[9] = False
        assert switches.read(0.0) == (False, False, False, True)
        mock_pins.pin(5).drive_low()
        chips[1].levels = {0: False}
        assert switches.read(0.0) == (True, True, False, False)


def test_lines_are_switches_in_the_order_of_the_list_whatever_that_is(chips):
    with GpioSwitches((ChipLine(2, 3), ChipLine(1, 9), ChipLine(1, 0))) as switches:
        chips[1].levels[9] = False
        assert switches.levels() == (False, True, False)
        chips[2].levels[3] = False
        assert switches.levels() == (True, True, False)


def test_a_chip_is_read_once_for_all_its_lines(chips):
    lines = [ChipLine(chip, line) for chip in (1, 2) for line in range(16)]
    with GpioSwitches(lines) as switches:
        assert switches.n_switches == 32
        before = chips.n_reads
        switches.levels()
        assert chips.n_reads - before == 2


def test_64_switches_are_four_chips(chips):
    lines = [ChipLine(chip, line) for chip in (1, 2, 3, 4) for line in range(16)]
    with GpioSwitches(lines) as switches:
        chips[4].levels[15] = chips[2].levels[3] = False
        states = switches.levels()
    assert [i for i, on in enumerate(states) if on] == [19, 63]


@pytest.mark.parametrize(
    ("options", "flag", "level"),
    [
        ({}, 1 << 8, False),
        ({"active_high": True}, 1 << 9, True),
        ({"pulled_outside": True}, 1 << 10, False),
    ],
)
def test_the_lines_have_the_resistors_of_the_configuration(chips, options, flag, level):
    chips[1].levels = {0: level, 9: not level}
    with GpioSwitches((A, B), **options) as switches:
        assert chips[1].flags & flag
        assert switches.levels() == (True, False)


def test_closing_releases_the_chips_and_is_idempotent(chips):
    switches = GpioSwitches(PINS)
    assert chips.held == {(1, 0), (1, 9)}
    switches.close()
    switches.close()
    assert chips.held == set()


@pytest.mark.parametrize("pin", [ChipLine(7, 0), ChipLine(2, 16)])
def test_a_chip_or_a_line_that_is_not_there_is_refused_with_what_to_check(chips, pin):
    with pytest.raises(SwitchesUnavailable, match=r"config\.txt has dtoverlay=mcp23017"):
        GpioSwitches((5, A, pin))
    assert chips.held == set()
    GpioSwitches((5,)).close()


def test_a_chip_that_is_lost_keeps_its_switches_and_is_reported_once(chips):
    messages = []
    with GpioSwitches((A, B), report=messages.append) as switches:
        chips[1].levels = {0: False}
        assert switches.levels() == (True, False)
        chips.is_broken = True
        chips[1].levels = {9: False}
        assert switches.levels() == switches.levels() == (True, False)
        chips.is_broken = False
        assert switches.levels() == (False, True)
    assert messages == [
        "gpiochip1 does not answer (Remote I/O error): its switches stay as they are; check its "
        "wires",
        "gpiochip1 answers again",
    ]


def test_a_bus_that_hangs_does_not_stop_the_loop_which_goes_on_with_the_levels_before(
    chips, mock_pins, monkeypatch
):
    monkeypatch.setattr(expander, "WAIT_SECONDS", 0.001)
    with GpioSwitches(PINS) as switches:
        chips.hangs.clear()
        before = chips.n_reads
        chips[1].levels = {0: False}
        mock_pins.pin(6).drive_low()
        for _ in range(100):
            assert switches.levels() == (False, False, True, False)
        assert chips.n_reads <= before + 1
        chips.hangs.set()
        wait_until(lambda: switches.levels() == (False, True, True, False))


def test_closing_does_not_wait_for_a_bus_that_hangs(chips, monkeypatch):
    monkeypatch.setattr(expander, "WAIT_SECONDS", 0.001)
    switches = GpioSwitches((A,))
    chips.hangs.clear()
    switches.levels()
    switches.close()
    assert chips.held == set()
    chips.hangs.set()


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        ("5", 5), ("chip1:5", ChipLine(1, 5)), ("chip12:15", ChipLine(12, 15)),
        ("chip1", None), ("chip1:", None), ("1:5", None), ("-5", None), ("x", None), ("", None),
        ("chip1:5555", None), ("²", None), ("9" * 20, None),
    ],
)  # fmt: skip
def test_a_pin_is_a_bcm_number_or_a_line(text, pin):
    assert parse_pin(text) == pin
    if pin is not None:
        assert str(pin) == text


def test_a_line_is_described_as_the_chip_calls_it():
    assert describe(ChipLine(1, 7)) == "chip1:7, GPA7, pin 28"
    assert describe(ChipLine(2, 8)) == "chip2:8, GPB0, pin 1"


def test_problems_name_the_line():
    wiring = Wiring((A, A, ChipLine(1, 16), 2))
    assert Wiring((A,), active_high=True, pulled_outside=True).problems() == []
    assert Wiring((A,), active_high=True).problems() == [
        'an MCP23017 has no pull-downs; take pull = "outside"'
    ]
    assert wiring.problems() == [
        "BCM 2 is used twice",
        "chip1:0 is used twice",
        "chip1:16 is none of the 16 lines",
    ]


CONFIG = 'pins = [5, "chip1:0", "chip1:9"]\n'


def test_doctor_shows_lines_live_and_draws_them(chips, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "switchboard.toml").write_text(CONFIG)
    chips[1].levels = {9: False}
    assert main(["doctor", "--pins", "--seconds", "0.3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["bcm"] for row in rows] == [5, "chip1:0", "chip1:9"]
    assert [row["closed"] for row in rows] == [False, False, True]
    assert main(["doctor", "--wiring", "wiring.svg"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["chip1:9", "GPB1,", "pin", "2", "to", "GND"] in [line[-6:] for line in lines]
    assert ["BCM", "2", "header", "pin", "3", "to", "pin", "13", "of", "chip1"] in [
        line[-10:] for line in lines
    ]
    assert "MCP23017 chip1, address 0x20" in (tmp_path / "wiring.svg").read_text()


def test_play_reads_the_lines(chips, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "switchboard.toml").write_text(CONFIG)
    chips[1].levels = {0: False}
    words = ["play", "--switches", "gpio", "--speaker", "wav:x.wav", "--seconds", "1", "--json"]
    assert main([*words, "--performance", "log.jsonl"]) == 0
    flips = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert next(flip["bits"] for flip in flips if flip["event"] == "flip") == "01000000"

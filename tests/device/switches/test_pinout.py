"""The 40-pin header, compared with gpiozero's tables."""

import pytest

from device.switches.pinout import (
    DEFAULT_PINS,
    FUNCTIONS,
    I2S_PINS,
    N_PINS,
    OTHER_USES,
    describe,
    header_pin,
    nearest,
)


def test_every_bcm_number_is_on_the_header_once():
    bcm = [header_pin(number) for number in range(28)]
    assert N_PINS == 40
    assert len(set(bcm)) == 28
    assert None not in bcm
    assert [FUNCTIONS.count(name) for name in ("GND", "3V3", "5V")] == [8, 2, 2]
    assert header_pin(28) is None


@pytest.mark.parametrize(
    ("revision", "n_pins"),
    [
        (0x000F, 26),  # the first Pi 1, from its second revision on
        (0x0010, 40),  # 1 B+
        (0xA01041, 40),  # 2
        (0xA02082, 40),  # 3
        (0xC03111, 40),  # 4
        (0xC04170, 40),  # 5
        (0x902120, 40),  # Zero 2 W
    ],
)
def test_on_every_pi_the_numbers_are_where_gpiozero_has_them(revision, n_pins):
    pi = pytest.importorskip("gpiozero.pins.pi", reason="gpiozero is not installed")
    board = pi.PiBoardInfo.from_revision(revision)
    name = "P1" if n_pins == 26 else "J8"
    header = next(header for header in board.headers.values() if header.name == name)
    expected = {pin.name.removeprefix("GPIO"): number for number, pin in header.pins.items()}
    assert len(header.pins) == n_pins
    for number, function in enumerate(FUNCTIONS[:n_pins], 1):
        if function.startswith("BCM"):
            assert expected[function.removeprefix("BCM ")] == number


def test_the_default_pins_have_no_other_use():
    assert len(set(DEFAULT_PINS)) == 8
    assert not set(DEFAULT_PINS) & set(OTHER_USES)
    assert set(I2S_PINS) <= set(OTHER_USES)


def test_a_pin_is_described_by_both_numbers():
    assert describe(5) == "BCM 5, header pin 29"
    assert describe(40) == "BCM 40, not on the header"


def test_the_nearest_ground_is_used():
    assert nearest("GND", [29, 31, 33, 37]) == 34
    assert nearest("3V3", [13, 15]) == 17
    assert nearest("GND", []) == 39

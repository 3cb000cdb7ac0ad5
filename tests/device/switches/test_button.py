"""A push button on a simulated pin."""

import pytest

from device.errors import SwitchesUnavailable
from device.switches.button import PinButton
from device.switches.wiring import Wiring


@pytest.mark.parametrize("active_high", [False, True])
def test_a_press_calls_once_however_long_it_is(mock_pins, active_high):
    presses = []
    wiring = Wiring((5,), active_high=active_high, keep_pin=17)
    with PinButton(17, wiring, lambda: presses.append(1)) as button:
        button(None)
        assert presses == []
        pin = mock_pins.pin(17)
        (pin.drive_high if active_high else pin.drive_low)()
        for _ in range(5):
            button(None)
    assert presses == [1]


def test_a_button_that_is_held_at_the_start_was_not_pressed(mock_pins):
    presses = []
    mock_pins.pin(17).drive_low()
    with PinButton(17, Wiring((5,)), lambda: presses.append(1)) as button:
        button(None)
    assert presses == []


def test_a_pin_that_does_not_exist_is_refused(mock_pins):
    with pytest.raises(SwitchesUnavailable):
        PinButton(99, Wiring((5,)), print)


def test_the_wiring_has_the_button():
    wiring = Wiring((5, 6), leds={"beat": 22}, keep_pin=6)
    assert "BCM 6 is used twice" in wiring.problems()
    assert ("button keep", "17", "11", "GND") in Wiring((5,), keep_pin=17).rows()

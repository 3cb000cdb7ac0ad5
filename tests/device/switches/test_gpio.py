"""Pins, on gpiozero's mock factory; bounce, which it lacks, is in test_base.py."""

import subprocess
import sys

import pytest

from device.errors import SwitchesUnavailable
from device.switches.gpio import GpioSwitches

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")

PINS = (5, 6, 13)


class Clock:
    def __init__(self):
        self.now = 10.0

    def __call__(self):
        return self.now


def test_a_pin_pulled_to_ground_is_on(mock_pins):
    clock = Clock()
    with GpioSwitches(PINS, clock=clock) as switches:
        assert switches.n_switches == 3
        assert switches.read(0.0) == (False, False, False)
        mock_pins.pin(6).drive_low()
        assert switches.read(0.0) == (False, True, False)
        clock.now += 1
        mock_pins.pin(6).drive_high()
        assert switches.read(0.0) == (False, False, False)
        assert not switches.finished


def test_a_switch_closed_before_the_start_is_on_at_once(mock_pins):
    with GpioSwitches(PINS, clock=Clock()) as switches:
        mock_pins.pin(13).drive_low()
        assert switches.read(0.0) == (False, False, True)


def test_a_pin_that_bounces_is_one_flip(mock_pins):
    clock = Clock()
    with GpioSwitches(PINS, clock=clock, lockout_seconds=0.03) as switches:
        states = []
        for drive in ("drive_low", "drive_high", "drive_low"):
            getattr(mock_pins.pin(5), drive)()
            states.append(switches.read(0.0)[0])
            clock.now += 0.005
        assert states == [True, True, True]


def test_no_edge_events_are_requested(mock_pins):
    with GpioSwitches(PINS, clock=Clock()):
        assert all(mock_pins.pin(pin).when_changed is None for pin in PINS)


def test_closed_pins_can_be_opened_again_and_closing_twice_is_fine(mock_pins):
    switches = GpioSwitches(PINS)
    switches.close()
    switches.close()
    with GpioSwitches(PINS) as again:
        assert again.read(0.0) == (False, False, False)


def test_a_pin_in_use_is_refused_and_the_others_are_released(mock_pins):
    with gpiozero.InputDevice(13), pytest.raises(SwitchesUnavailable, match="choose the keyboard"):
        GpioSwitches(PINS)
    with GpioSwitches(PINS) as switches:
        assert switches.n_switches == 3


def test_a_pin_that_does_not_exist_is_refused(mock_pins):
    with pytest.raises(SwitchesUnavailable, match=r"expected switches on the pins 5, 99 \(BCM\)"):
        GpioSwitches((5, 99))


def test_a_machine_without_pins_has_its_own_message(monkeypatch):
    def no_factory():
        raise gpiozero.exc.BadPinFactory("Unable to load any default pin factory!")

    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setattr(gpiozero.Device, "_default_pin_factory", staticmethod(no_factory))
    with pytest.raises(SwitchesUnavailable, match="found Unable to load any default pin factory"):
        GpioSwitches(PINS)


def test_an_error_of_the_pin_library_is_translated(mock_pins, monkeypatch):
    lgpio_error = pytest.importorskip("lgpio", reason="lgpio is not installed").error

    def refuse(*_, **__):
        raise lgpio_error("can not open gpiochip")

    monkeypatch.setattr(gpiozero, "InputDevice", refuse)
    with pytest.raises(SwitchesUnavailable, match="found 'can not open gpiochip'"):
        GpioSwitches(PINS)


@pytest.mark.parametrize("n_failures", [1, 2])
def test_a_line_that_is_busy_on_closing_is_tried_once_more(mock_pins, monkeypatch, n_failures):
    slept = []
    switches = GpioSwitches(PINS, sleep=slept.append)
    close, failures = gpiozero.InputDevice.close, list(range(n_failures))

    def busy_close(device):
        if failures:
            failures.pop()
            raise RuntimeError("GPIO busy")
        close(device)

    with monkeypatch.context() as patch:
        patch.setattr(gpiozero.InputDevice, "close", busy_close)
        switches.close()
    assert slept == [0.01]


def test_gpiozero_is_imported_only_when_pins_are_opened():
    code = "import sys, device.switches.gpio; assert 'gpiozero' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_switch_to_the_supply_is_on_when_its_pin_is_high(mock_pins):
    with GpioSwitches(PINS, clock=Clock(), active_high=True) as switches:
        assert switches.read(0.0) == (False, False, False)
        assert mock_pins.pin(5).pull == "down"
        mock_pins.pin(6).drive_high()
        assert switches.read(0.0) == (False, True, False)


@pytest.mark.parametrize("active_high", [False, True])
def test_a_resistor_on_the_board_leaves_the_one_in_the_pi_off(mock_pins, active_high):
    with GpioSwitches(
        PINS, clock=Clock(), active_high=active_high, pulled_outside=True
    ) as switches:
        assert mock_pins.pin(5).pull == "floating"
        for pin in PINS:
            (mock_pins.pin(pin).drive_low if active_high else mock_pins.pin(pin).drive_high)()
        assert switches.read(0.0) == (False, False, False)
        (mock_pins.pin(13).drive_high if active_high else mock_pins.pin(13).drive_low)()
        assert switches.read(0.0) == (False, False, True)


def test_a_loose_wire_is_reported_once_and_held(mock_pins):
    clock, messages = Clock(), []
    with GpioSwitches(PINS, clock=clock, report=messages.append) as switches:
        for i in range(200):
            (mock_pins.pin(6).drive_low if i % 2 else mock_pins.pin(6).drive_high)()
            bits = switches.read(0.0)
            clock.now += 0.058
        assert bits == (False, False, False)
        assert switches.chattering == (False, True, False)
        mock_pins.pin(6).drive_low()
        for _ in range(50):
            bits = switches.read(0.0)
            clock.now += 0.058
    assert bits == (False, True, False)
    assert messages == [
        "switch 2 (BCM 6, header pin 31) chatters, and is held where it was: check its wire",
        "switch 2 (BCM 6, header pin 31) is calm",
    ]

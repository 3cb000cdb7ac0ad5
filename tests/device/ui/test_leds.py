"""Status LEDs, on gpiozero's mock factory."""

import time
from dataclasses import replace

import pytest

from device.errors import SwitchesUnavailable
from device.playback.evening.state import EveningState
from device.ui.leds import BEAT, BEAT_SECONDS, FAULT, PLAYING, StatusLeds
from tests.support.instrument_state import snapshot
from tests.support.waiting import wait_until

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")

STATE = snapshot()
PINS = {PLAYING: 17, FAULT: 27, BEAT: 22}


def lit(mock_pins, pins=PINS):
    return {name for name, pin in pins.items() if mock_pins.pin(pin).state}


def test_the_leds_show_playing_beat_and_fault(mock_pins):
    faults = []
    with StatusLeds(PINS, lambda: bool(faults)) as leds:
        state = replace(STATE, latency_ms=0.0, seconds=0.0)
        assert lit(mock_pins) == set()
        leds(state)
        wait_until(lambda: lit(mock_pins) == {PLAYING, BEAT})
        leds(replace(state, seconds=BEAT_SECONDS))
        wait_until(lambda: lit(mock_pins) == {PLAYING})
        leds(replace(state, seconds=0.8, beat=1))
        wait_until(lambda: lit(mock_pins) == {PLAYING, BEAT})
        faults.append("a loose wire")
        leds(replace(state, seconds=1.0, beat=1))
        wait_until(lambda: lit(mock_pins) == {PLAYING, FAULT})
    # Released: an input drives no LED.
    assert {mock_pins.pin(pin).function for pin in PINS.values()} == {"input"}


def test_only_the_leds_that_are_wired_are_switched(mock_pins):
    with StatusLeds({BEAT: 22}, lambda: True) as leds:
        leds(replace(STATE, latency_ms=0.0, seconds=0.0))
        wait_until(lambda: mock_pins.pin(22).state)
        assert [pin.info.name for pin in mock_pins.pins.values()] == ["GPIO22"]


def test_an_led_is_lit_when_its_sound_is_heard_and_the_loop_does_not_wait(mock_pins):
    with StatusLeds({PLAYING: 17}, lambda: False) as leds:
        started = time.monotonic()
        leds(replace(STATE, latency_ms=300.0))
        assert not mock_pins.pin(17).state
        wait_until(lambda: mock_pins.pin(17).state)
        assert time.monotonic() - started >= 0.3


def test_an_led_on_a_missing_pin_is_refused_by_name(mock_pins):
    with pytest.raises(
        SwitchesUnavailable, match=r"LED 'beat': found .* expected an LED on BCM 99"
    ):
        StatusLeds({BEAT: 99}, lambda: False)


def test_closing_twice_is_fine(mock_pins):
    leds = StatusLeds(PINS, lambda: False)
    leds.close()
    leds.close()


def test_asleep_no_led_is_lit(mock_pins):
    with StatusLeds(PINS, lambda: False) as leds:
        leds(replace(STATE, latency_ms=0.0, seconds=0.0))
        wait_until(lambda: lit(mock_pins) == {PLAYING, BEAT})
        leds(replace(STATE, latency_ms=0.0, seconds=9.0, evening=EveningState(is_asleep=True)))
        wait_until(lambda: lit(mock_pins) == set())


def test_playing_blinks_while_the_button_that_shuts_down_is_held(mock_pins):
    with StatusLeds({PLAYING: 17}, lambda: False) as leds:
        for seconds, expected in ((0.0, True), (0.13, False), (0.26, True)):
            leds(replace(STATE, latency_ms=0.0, seconds=seconds, ends_soon=True))
            wait_until(lambda: bool(mock_pins.pin(17).state) == expected)  # noqa: B023
        leds(replace(STATE, latency_ms=0.0, seconds=0.38, ends_soon=False))
        wait_until(lambda: mock_pins.pin(17).state)

"""Knobs and buttons on gpiozero's mock factory."""

import time

import pytest

from device.errors import SwitchesUnavailable
from device.switches import commands, panel_parts
from device.switches.commands import CommandQueue
from device.switches.gpio import GpioSwitches
from device.switches.panel_parts import (
    KEEP,
    NEXT_MODEL,
    SHUT_DOWN,
    TEMPO,
    VOLUME,
    PanelParts,
    PanelPins,
    PulsePin,
)
from tests.support.waiting import wait_until

gpiozero = pytest.importorskip("gpiozero", reason="gpiozero is not installed")

A, B = 22, 27
# Levels of the contacts A and B in the four steps of a detent, clockwise.
DETENT = ((False, True), (False, False), (True, False), (True, True))


def drive(mock_pins, bcm, level):
    (mock_pins.pin(bcm).drive_high if level else mock_pins.pin(bcm).drive_low)()


def turn(mock_pins, n_detents, between=lambda: None):
    steps = DETENT if n_detents > 0 else (*reversed(DETENT[:-1]), DETENT[-1])
    for _ in range(abs(n_detents)):
        for a, b in steps:
            drive(mock_pins, A, a)
            drive(mock_pins, B, b)
            between()


def taken(queue):
    found = []
    while queue:
        found.append(queue.take())
    return found


def pins(**parts):
    return PanelPins(**{"encoders": {}, "channels": {}, "buttons": {}, **parts})


def test_a_detent_is_a_decibel_or_a_beat_a_minute(mock_pins):
    queue = CommandQueue()
    with PanelParts(pins(encoders={VOLUME: (A, B)}), queue):
        turn(mock_pins, 3)
        turn(mock_pins, -2)
    assert taken(queue) == [commands.ChangeVolume(1.0)] * 3 + [commands.ChangeVolume(-1.0)] * 2
    with PanelParts(pins(encoders={TEMPO: (A, B)}), queue):
        turn(mock_pins, -1)
    assert taken(queue) == [commands.ChangeTempo(-1.0)]


def test_two_hundred_detents_beside_switches_that_chatter_are_all_counted(mock_pins):
    queue, n_reads = CommandQueue(), 0
    with (
        PanelParts(pins(encoders={VOLUME: (A, B)}), queue),
        # 200 detents a second, of four steps each.
        GpioSwitches((5, 6), clock=lambda: n_reads / 800) as switches,
    ):

        def chatter():
            nonlocal n_reads
            n_reads += 1
            drive(mock_pins, 5, n_reads % 2)
            drive(mock_pins, 6, n_reads % 3 == 0)
            switches.read(0.0)

        turn(mock_pins, 200, chatter)
        turn(mock_pins, -200, chatter)
        assert any(switches.chattering)
    found = taken(queue)
    assert found == [commands.ChangeVolume(1.0)] * 200 + [commands.ChangeVolume(-1.0)] * 200


def test_an_encoder_whose_contacts_bounce_counts_no_detent_too_many(mock_pins):
    queue = CommandQueue()
    with PanelParts(pins(encoders={VOLUME: (A, B)}), queue):
        for a, b in DETENT:
            for level in (a, not a, a):
                drive(mock_pins, A, level)
            for level in (b, not b, b):
                drive(mock_pins, B, level)
    assert taken(queue) == [commands.ChangeVolume(1.0)]


def test_buttons_are_commands_once_for_each_press(mock_pins, monkeypatch):
    monkeypatch.setattr(panel_parts, "_BOUNCE_SECONDS", None)
    queue = CommandQueue()
    with PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), queue):
        for bcm in (5, 6, 5):
            drive(mock_pins, bcm, False)
            drive(mock_pins, bcm, True)
    assert taken(queue) == [commands.Keep(), commands.NextModel(), commands.Keep()]


def test_the_button_that_shuts_down_must_be_held(mock_pins, monkeypatch):
    assert panel_parts.HOLD_SECONDS == 3.0
    monkeypatch.setattr(panel_parts, "_BOUNCE_SECONDS", None)
    monkeypatch.setattr(panel_parts, "HOLD_SECONDS", 0.2)
    queue = CommandQueue()
    with PanelParts(pins(buttons={SHUT_DOWN: 5}), queue) as parts:
        drive(mock_pins, 5, False)
        assert parts.is_ending
        drive(mock_pins, 5, True)
        assert not parts.is_ending
        time.sleep(0.3)
        assert not queue
        drive(mock_pins, 5, False)
        wait_until(lambda: queue)
    assert taken(queue) == [commands.ShutDown()]


class Converter:
    value = 0.5

    def __init__(self, channel):
        self.channel = channel

    def close(self):
        pass


def test_a_potentiometer_says_where_it_is_at_the_start_and_when_it_was_moved(
    mock_pins, monkeypatch
):
    monkeypatch.setattr(gpiozero, "MCP3008", Converter)
    monkeypatch.setattr(panel_parts, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(Converter, "value", 0.5)
    queue = CommandQueue()
    with PanelParts(pins(channels={VOLUME: 0, TEMPO: 1}), queue):
        wait_until(lambda: len(queue) == 2)
        assert taken(queue) == [commands.SetVolume(pytest.approx(-11.9, abs=0.1)),
                                commands.SetTempo(120.0)]  # fmt: skip
        for value in (0.501, 0.499, 0.503):  # the noise of a converter
            monkeypatch.setattr(Converter, "value", value)
            time.sleep(0.01)
        assert not queue
        monkeypatch.setattr(Converter, "value", 1.0)
        wait_until(lambda: len(queue) == 2)
        assert taken(queue) == [commands.SetVolume(0.0), commands.SetTempo(200.0)]
        monkeypatch.setattr(Converter, "value", 0.995)
        time.sleep(0.01)
        assert not queue


def test_a_pin_in_use_is_refused_by_name_and_the_others_are_released(mock_pins):
    with gpiozero.InputDevice(6), pytest.raises(SwitchesUnavailable, match="next model: found"):
        PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), CommandQueue())
    with PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), CommandQueue()):
        pass


def test_the_pulse_pin_is_low_until_it_pulses(mock_pins):
    with PulsePin(17) as pulse:
        assert not mock_pins.pin(17).state
        pulse.set(True)
        assert mock_pins.pin(17).state
        pulse.set(False)
        assert not mock_pins.pin(17).state

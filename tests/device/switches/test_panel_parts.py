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


@pytest.fixture
def factory(monkeypatch):
    from gpiozero.pins.mock import MockFactory

    mock = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", mock)
    yield mock
    mock.reset()


def drive(factory, bcm, level):
    (factory.pin(bcm).drive_high if level else factory.pin(bcm).drive_low)()


def turn(factory, n_detents, between=lambda: None):
    steps = DETENT if n_detents > 0 else (*reversed(DETENT[:-1]), DETENT[-1])
    for _ in range(abs(n_detents)):
        for a, b in steps:
            drive(factory, A, a)
            drive(factory, B, b)
            between()


def taken(queue):
    found = []
    while queue:
        found.append(queue.take())
    return found


def pins(**parts):
    return PanelPins(**{"encoders": {}, "channels": {}, "buttons": {}, **parts})


def test_a_detent_is_a_decibel_or_a_beat_a_minute(factory):
    queue = CommandQueue()
    with PanelParts(pins(encoders={VOLUME: (A, B)}), queue):
        turn(factory, 3)
        turn(factory, -2)
    assert taken(queue) == [commands.ChangeVolume(1.0)] * 3 + [commands.ChangeVolume(-1.0)] * 2
    with PanelParts(pins(encoders={TEMPO: (A, B)}), queue):
        turn(factory, -1)
    assert taken(queue) == [commands.ChangeTempo(-1.0)]


def test_two_hundred_detents_beside_switches_that_chatter_are_all_counted(factory):
    queue, n_reads = CommandQueue(), 0
    with (
        PanelParts(pins(encoders={VOLUME: (A, B)}), queue),
        # 200 detents a second, of four steps each.
        GpioSwitches((5, 6), clock=lambda: n_reads / 800) as switches,
    ):

        def chatter():
            nonlocal n_reads
            n_reads += 1
            drive(factory, 5, n_reads % 2)
            drive(factory, 6, n_reads % 3 == 0)
            switches.read(0.0)

        turn(factory, 200, chatter)
        turn(factory, -200, chatter)
        assert any(switches.chattering)
    found = taken(queue)
    assert found == [commands.ChangeVolume(1.0)] * 200 + [commands.ChangeVolume(-1.0)] * 200


def test_an_encoder_whose_contacts_bounce_counts_no_detent_too_many(factory):
    queue = CommandQueue()
    with PanelParts(pins(encoders={VOLUME: (A, B)}), queue):
        for a, b in DETENT:
            for level in (a, not a, a):
                drive(factory, A, level)
            for level in (b, not b, b):
                drive(factory, B, level)
    assert taken(queue) == [commands.ChangeVolume(1.0)]


def test_buttons_are_commands_once_for_each_press(factory, monkeypatch):
    monkeypatch.setattr(panel_parts, "_BOUNCE_SECONDS", None)
    queue = CommandQueue()
    with PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), queue):
        for bcm in (5, 6, 5):
            drive(factory, bcm, False)
            drive(factory, bcm, True)
    assert taken(queue) == [commands.Keep(), commands.NextModel(), commands.Keep()]


def test_the_button_that_shuts_down_must_be_held(factory, monkeypatch):
    assert panel_parts.HOLD_SECONDS == 3.0
    monkeypatch.setattr(panel_parts, "_BOUNCE_SECONDS", None)
    monkeypatch.setattr(panel_parts, "HOLD_SECONDS", 0.2)
    queue = CommandQueue()
    with PanelParts(pins(buttons={SHUT_DOWN: 5}), queue) as parts:
        drive(factory, 5, False)
        assert parts.is_ending
        drive(factory, 5, True)
        assert not parts.is_ending
        time.sleep(0.3)
        assert not queue
        drive(factory, 5, False)
        wait_until(lambda: queue)
    assert taken(queue) == [commands.ShutDown()]


class Converter:
    value = 0.5

    def __init__(self, channel):
        self.channel = channel

    def close(self):
        pass


def test_a_potentiometer_says_where_it_is_at_the_start_and_when_it_was_moved(factory, monkeypatch):
    monkeypatch.setattr(gpiozero, "MCP3008", Converter)
    monkeypatch.setattr(panel_parts, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(Converter, "value", 0.5)
    queue = CommandQueue()
    with PanelParts(pins(channels={VOLUME: 0, TEMPO: 1}), queue):
        wait_until(lambda: len(queue._waiting) == 2)
        assert taken(queue) == [commands.SetVolume(pytest.approx(-11.9, abs=0.1)),
                                commands.SetTempo(120.0)]  # fmt: skip
        for value in (0.501, 0.499, 0.503):  # the noise of a converter
            monkeypatch.setattr(Converter, "value", value)
            time.sleep(0.01)
        assert not queue
        monkeypatch.setattr(Converter, "value", 1.0)
        wait_until(lambda: len(queue._waiting) == 2)
        assert taken(queue) == [commands.SetVolume(0.0), commands.SetTempo(200.0)]
        monkeypatch.setattr(Converter, "value", 0.995)
        time.sleep(0.01)
        assert not queue


def test_a_pin_in_use_is_refused_by_name_and_the_others_are_released(factory):
    with gpiozero.InputDevice(6), pytest.raises(SwitchesUnavailable, match="next model: found"):
        PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), CommandQueue())
    with PanelParts(pins(buttons={KEEP: 5, NEXT_MODEL: 6}), CommandQueue()):
        pass


def test_the_pulse_pin_is_low_until_it_pulses(factory):
    with PulsePin(17) as pulse:
        assert not factory.pin(17).state
        pulse.set(True)
        assert factory.pin(17).state
        pulse.set(False)
        assert not factory.pin(17).state

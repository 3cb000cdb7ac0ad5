"""What the evening does, in words."""

import pytest

from device.playback.evening.state import EveningState


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ""),
        ({"wake_at": "07:00"}, ""),
        ({"sleep_in_seconds": 1500.0}, "asleep in 25 min"),
        ({"sleep_in_seconds": 12.4, "is_quiet": True}, "asleep in 12 s, quiet hours"),
        ({"is_asleep": True, "wake_at": "07:00"}, "asleep, wakes at 07:00"),
        ({"is_asleep": True, "wake_in_seconds": 28800.0}, "asleep, wakes in 480 min"),
        ({"is_wandering": True}, "wanders"),
    ],
)
def test_only_what_differs_from_playing_is_said(fields, words):
    assert EveningState(**fields).words == words

"""A snapshot of an instrument, for tests of listeners."""

from dataclasses import replace
from typing import Any

from device.playback.evening.state import EveningState
from device.playback.state import InstrumentState

_SNAPSHOT = InstrumentState(
    title="Rain",
    digest="ab" * 32,
    labels=("warmth", "drums"),
    switch_states=(True, False),
    bits=(True, False),
    holders={},
    sounding=(True, False),
    bar=0,
    beat=0,
    n_beats=4,
    bar_in_loop=0,
    bars_per_loop=4,
    position=1.5,
    heard_position=1.45,
    tempo_bpm=76.0,
    fixed_tempo_bpm=None,
    gain_db=0.0,
    evening=EveningState(),
    seed=1,
    still=False,
    journey=False,
    level_db=-20.0,
    seconds=1.0,
    n_flips=0,
    switch_p50_ms=5.0,
    switch_p99_ms=9.0,
    latency_ms=118.0,
    n_underruns=0,
    n_blocks=100,
    n_late=0,
    n_iterations=1,
    held_frames=1,
    n_lowered=0,
    n_not_finite=0,
    ends_soon=False,
    failure=None,
)


def snapshot(**changes: Any) -> InstrumentState:
    """One that differs from an ordinary one in these fields."""
    return replace(_SNAPSHOT, **changes)

"""The state of the instrument: immutable snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device.playback.evening.state import EveningState
from device.switches.bits import Bits
from device.synthesis.transport import BEATS_PER_BAR
from device.synthesis.voice import Voice


@dataclass(frozen=True)
class InstrumentState:
    """A snapshot that displays and reports may read from any thread.

    Attributes
    ----------
    title, digest : str
        The model's title, and the SHA-256 of its file.
    labels : tuple of str
        A short name per switch.
    switch_states : Bits
        Of all switches of the hardware.
    bits : Bits
        The switch states fitted to the model.
    holders : mapping of int to str
        Switch, counted from 0 → the remote hand that flipped it; others are as on the panel.
    sounding : Bits
        The bits that are heard; they differ from `bits` while a flip waits for its beat or bar.
    bar, beat : int
        Counted from 0; `bar` from the start, `beat` within the bar.
    n_beats : int
        Beats in a bar.
    bar_in_loop, bars_per_loop : int
    position : float
        Beats since the start, of the next frame to be drawn.
    heard_position : float
        Beats since the start, of the next sample to be written.
    tempo_bpm : float
    fixed_tempo_bpm : float or None
        The tempo set instead of the model's own.
    gain_db : float
        Before the limiter.
    evening : EveningState
        What sleep timer, wake timer, quiet hours and wander do.
    seed : int
    still : bool
        Whether the variation is frozen.
    journey : bool
        Whether every other theme has another key.
    level_db : float
        RMS of the latest block in dB below full scale; -inf for silence.
    seconds : float
        Music written to the speaker so far.
    n_flips : int
    switch_p50_ms, switch_p99_ms : float
        From reading a flip to writing the first sample computed with it; nan before any.
    latency_ms : float
        What inversion and speaker add after that.
    n_underruns : int
        Counted by the speaker.
    n_blocks : int
        Blocks written so far.
    n_late : int
        Blocks that were made after the speaker's queue had been played.
    n_iterations : int
        Of the inversion, as the governor sets it.
    held_frames : int
        Hops for which a frame is held, as the governor sets it.
    n_lowered : int
        How often the governor chose less work.
    n_not_finite : int
        Frames of this model that were not finite and are silent instead.
    ends_soon : bool
        Whether the button is pressed that shuts down, or the music ends because it was held.
    failure : str or None
        Why the model plays only silence from now on.
    """

    title: str
    digest: str
    labels: tuple[str, ...]
    switch_states: Bits
    bits: Bits
    holders: Mapping[int, str]
    sounding: Bits
    bar: int
    beat: int
    n_beats: int
    bar_in_loop: int
    bars_per_loop: int
    position: float
    heard_position: float
    tempo_bpm: float
    fixed_tempo_bpm: float | None
    gain_db: float
    evening: EveningState
    seed: int
    still: bool
    journey: bool
    level_db: float
    seconds: float
    n_flips: int
    switch_p50_ms: float
    switch_p99_ms: float
    latency_ms: float
    n_underruns: int
    n_blocks: int
    n_late: int
    n_iterations: int
    held_frames: int
    n_lowered: int
    n_not_finite: int
    ends_soon: bool
    failure: str | None


def position_of(voice: Voice) -> dict[str, Any]:
    """The fields of a snapshot that say where in the music the next frame is."""
    bar, beat = divmod(voice.beat, BEATS_PER_BAR)
    tape_seconds = voice.vocoder.tape_seconds
    bars_per_loop = max(1, voice.card.beats_per_loop // BEATS_PER_BAR)
    return {
        "position": voice.beat,
        "heard_position": voice.heard_beat - tape_seconds * voice.transport.beats_per_second,
        "bar": int(bar),
        "beat": int(beat),
        "n_beats": BEATS_PER_BAR,
        "bar_in_loop": int(bar) % bars_per_loop,
        "bars_per_loop": bars_per_loop,
    }

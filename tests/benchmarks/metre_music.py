"""Music of known metre, downbeats and key: nine patterns, loops of the studio, recorded loops.

The patterns are written by code and played by FluidSynth from a General MIDI sound font, the
studio's loops by its own instruments. A piece is determined by its pattern and its seed. The
recorded loops are those of Sonic Pi; their beats are known from their length.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
from fluidsynth import Synth
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.loop import render_loop
from training.corpus.recordings.keys import transpose

SECONDS = 30.0
KICK, RIM, SNARE, CLAP, CLOSED_HAT, OPEN_HAT, RIDE, SHAKER, PEDAL_HAT = (
    36, 37, 38, 39, 42, 46, 51, 70, 44,
)  # fmt: skip
MAJOR_SCALE, MINOR_SCALE = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# Degrees of the scale, one chord a bar (or two bars, or half a bar).
PROGRESSIONS = {
    "major": ((0, 5, 3, 4), (0, 3, 4, 0), (1, 4, 0, 5), (0, 4, 5, 3), (3, 2, 1, 0), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 6, 2), (0, 6, 5, 4), (0, 3, 0, 4), (5, 6, 0, 0), (0, 5, 3, 4)),
}
KEYBOARDS, GUITARS = (0, 1, 4, 5, 11, 16), (24, 25, 26, 27)
BASSES, LEADS, PADS = (32, 33, 35, 38), (0, 11, 26, 56, 65, 71, 73, 80), (48, 50, 89, 90)


@dataclass(frozen=True)
class Piece:
    """Sound and what is known of it.

    Attributes
    ----------
    metre : str
        "4/4", "3/4" or "6/8"; the beat of 6/8 is three eighths.
    tempos : tuple of float
        Beats a minute; more than one where a musician may count either way.
    downbeats : (n_bars,) float
        Seconds.
    signature : int or None
        Tonic of the major key with the same notes; None if unknown.
    """

    name: str
    audio: NDArray[np.float32]
    metre: str
    tempos: tuple[float, ...]
    downbeats: NDArray[np.float64]
    signature: int | None


@dataclass
class Score:
    """Notes in beats, as a pattern writes them."""

    rng: np.random.Generator
    tonic: int
    mode: str
    beats_per_bar: int
    swing: Callable[[float], float] = lambda beat: beat
    events: list[tuple[float, float, int, int, int, int]] = field(default_factory=list)

    def note(self, channel, program, start, length, key, velocity):
        """Add a note, swung and with uneven velocity."""
        touch = int(np.clip(velocity + self.rng.normal(0.0, 6.0), 15, 127))
        first, last = self.swing(start), self.swing(start + length)
        self.events.append((first, last - first, channel, program, int(key), touch))

    def drum(self, start, key, velocity=95):
        """Add a stroke."""
        self.note(9, 0, start, 0.2, key, velocity)

    def pitch(self, degree, lowest):
        """Return the key of a degree of the scale, counted up from the tonic, above the lowest."""
        scale = MAJOR_SCALE if self.mode == "major" else MINOR_SCALE
        octave, step = divmod(degree, 7)
        return lowest + (self.tonic + scale[step] - lowest) % 12 + 12 * octave

    def chord(self, degree, lowest, n_notes):
        """Return the keys of a chord on a degree in close position."""
        scale = MAJOR_SCALE if self.mode == "major" else MINOR_SCALE
        classes = [(self.tonic + scale[(degree + 2 * n) % 7]) % 12 for n in range(n_notes)]
        return sorted(lowest + (c - lowest) % 12 for c in classes)


# -- what several patterns share ------------------------------------------------------------


def _chord_plan(score, n_bars):
    """Return (first beat, length, degree) of every chord."""
    rng, m = score.rng, score.beats_per_bar
    written = PROGRESSIONS[score.mode][rng.integers(len(PROGRESSIONS[score.mode]))]
    bars_each = rng.choice([1, 1, 1, 2])
    halves = m == 4 and bars_each == 1 and rng.random() < 0.15
    length = m / 2 if halves else m * bars_each
    n_chords = int(n_bars * m / length)
    return [(n * length, length, written[n % len(written)]) for n in range(n_chords)]


def _comp(score, plan, program, rhythm, n_notes=None):
    """Play the chords in a rhythm, given as (offset, length) in beats of a bar."""
    notes = n_notes or int(score.rng.choice([3, 4, 4]))
    lowest = int(score.rng.integers(50, 60))
    for first, length, degree in plan:
        for bar in np.arange(0.0, length, min(length, score.beats_per_bar)):
            for offset, held in rhythm:
                if bar + offset < length:
                    for key in score.chord(degree, lowest, notes):
                        score.note(0, program, first + bar + offset, held * 0.9, key, 72)


def _arpeggio(score, plan, program, step, order):
    lowest = int(score.rng.integers(50, 58))
    for first, length, degree in plan:
        keys = score.chord(degree, lowest, 4)
        root = score.pitch(degree % 7, 38)
        score.note(0, program, first, min(length, 2.0), root, 82)
        for number, offset in enumerate(np.arange(0.0, length, step)):
            accent = 8 if offset % 1.0 == 0 else 0
            key = keys[order[number % len(order)] % len(keys)]
            score.note(0, program, first + offset, step * 1.8, key, 64 + accent)


def _bass(score, plan, offsets, program=None):
    """Play roots and fifths at offsets of a bar, (offset, length, degree above the root)."""
    program = program or int(score.rng.choice(BASSES))
    for first, length, degree in plan:
        for bar in np.arange(0.0, length, min(length, score.beats_per_bar)):
            for offset, held, above in offsets:
                if bar + offset < length:
                    key = score.pitch((degree + above) % 7, 31)
                    accent = 8 if offset == 0 else 0
                    score.note(1, program, first + bar + offset, held * 0.9, key, 86 + accent)


def _melody(score, plan, unit, density):
    program, lowest = int(score.rng.choice(LEADS)), 70
    for first, length, degree in plan:
        at = 0.0
        while at < length:
            held = unit * int(score.rng.choice([1, 2, 2, 3, 4]))
            if score.rng.random() < density:
                step = int(score.rng.choice([0, 2, 4, 1, 5]))
                key = score.pitch((degree + step) % 7, lowest)
                score.note(2, program, first + at, min(held, length - at), key, 80)
            at += held


def _pad(score, plan):
    program = int(score.rng.choice(PADS))
    for first, length, degree in plan:
        for key in score.chord(degree, 55, 3):
            score.note(3, program, first, length, key, 58)


def _layers(score, plan, unit, chances=(0.5, 0.35)):
    if score.rng.random() < chances[0]:
        _melody(score, plan, unit, score.rng.uniform(0.35, 0.8))
    if score.rng.random() < chances[1]:
        _pad(score, plan)


def _hats(score, n_bars, steps, key, missing=0.04):
    for bar in range(n_bars):
        for step in steps:
            if score.rng.random() >= missing:
                accent = 85 if step % 1.0 == 0 else 62
                score.drum(bar * score.beats_per_bar + step, key, accent)


def _strokes(score, n_bars, steps, key, velocity=98, missing=0.0):
    for bar in range(n_bars):
        for step in steps:
            if score.rng.random() >= missing:
                score.drum(bar * score.beats_per_bar + step, key, velocity)


def _pick(rng, choices):
    return choices[int(rng.integers(len(choices)))]


# -- the patterns ---------------------------------------------------------------------------

KICKS = ((0, 2.5), (0, 1.75, 2.5), (0, 2), (0, 0.75, 2.5), (0, 1.5, 2.25), (0, 2.5, 2.75))
COMPS = (
    ((0, 4),), ((0, 2), (2, 2)), ((0, 1.5), (1.5, 2.5)), ((0.5, 1), (1.5, 1), (2.5, 1), (3.5, 0.5)),
    ((0, 0.5), (0.75, 0.5), (2, 0.5), (2.75, 1)), ((0, 1), (1, 1), (2, 1), (3, 1)),
)  # fmt: skip
BASS_LINES = (
    ((0, 3.5, 0),), ((0, 1.5, 0), (2, 1.5, 4)), ((0, 1.25, 0), (1.5, 0.5, 0), (2.5, 1.25, 4)),
    ((0, 0.75, 0), (0.75, 0.75, 0), (2, 0.75, 0), (2.75, 1, 4)),
    tuple((step / 2, 0.45, 0) for step in range(8)),
)  # fmt: skip


def boom_bap(score, n_bars):
    """Kick and snare of hip-hop, swung sixteenths."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    _strokes(score, n_bars, _pick(rng, KICKS), KICK)
    _strokes(score, n_bars, (1, 3), _pick(rng, (SNARE, SNARE, RIM, CLAP)))
    hats = (np.arange(0, 4, 0.5), np.arange(0, 4, 0.5), np.arange(0, 4, 0.25), np.arange(4.0))
    _hats(score, n_bars, _pick(rng, hats), _pick(rng, (CLOSED_HAT, CLOSED_HAT, SHAKER)))
    _comp(score, plan, _pick(rng, KEYBOARDS + GUITARS), _pick(rng, COMPS))
    _bass(score, plan, _pick(rng, BASS_LINES[:4]))
    _layers(score, plan, 0.5)


def four_on_the_floor(score, n_bars):
    """House: a kick on every beat, hats between, claps on two and four."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    _strokes(score, n_bars, range(4), KICK, 104)
    if rng.random() < 0.8:
        _strokes(score, n_bars, (1, 3), _pick(rng, (CLAP, SNARE)), 90)
    _hats(score, n_bars, np.arange(0.5, 4, 1.0), _pick(rng, (OPEN_HAT, CLOSED_HAT)))
    if rng.random() < 0.5:
        _hats(score, n_bars, np.arange(0, 4, 0.25), SHAKER)
    _comp(score, plan, _pick(rng, KEYBOARDS + PADS), _pick(rng, COMPS[:5]))
    offbeat = tuple((step + 0.5, 0.45, 0) for step in range(4))
    _bass(score, plan, _pick(rng, (BASS_LINES[4], offbeat, BASS_LINES[2])), 38)
    _layers(score, plan, 0.5)


def backbeat(score, n_bars):
    """Pop and rock: straight eighths."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    kicks = ((0, 2), (0, 2, 2.5), (0, 1.5, 2), (0, 0.5, 2.5), (0, 2.5))
    _strokes(score, n_bars, _pick(rng, kicks), KICK, 102)
    _strokes(score, n_bars, (1, 3), SNARE, 104)
    steps = np.arange(0, 4, 0.5) if rng.random() < 0.8 else np.arange(4.0)
    _hats(score, n_bars, steps, _pick(rng, (CLOSED_HAT, RIDE)))
    eighths = tuple((step / 2, 0.5) for step in range(8))
    _comp(score, plan, _pick(rng, KEYBOARDS + GUITARS), _pick(rng, (*COMPS[:3], COMPS[5], eighths)))
    _bass(score, plan, _pick(rng, (BASS_LINES[0], BASS_LINES[1], BASS_LINES[4])))
    _layers(score, plan, 0.5)


def waltz(score, n_bars):
    """Bass on one, chords on two and three."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    _comp(score, plan, _pick(rng, KEYBOARDS + GUITARS), _pick(rng, (((1, 1), (2, 1)), ((0, 3),))))
    _bass(score, plan, _pick(rng, (((0, 2.5, 0),), ((0, 1, 0), (2, 1, 4)), ((0, 0.9, 0),))))
    if rng.random() < 0.6:
        _strokes(score, n_bars, (0,), KICK)
        _strokes(score, n_bars, (1, 2), _pick(rng, (SNARE, RIM, PEDAL_HAT)), 70)
    if rng.random() < 0.5:
        steps = _pick(rng, (np.arange(3.0), np.array([0, 1, 1.5, 2]), np.arange(0, 3, 0.5)))
        _hats(score, n_bars, steps, _pick(rng, (RIDE, CLOSED_HAT)))
    _layers(score, plan, 0.5, (0.7, 0.4))


def six_eight(score, n_bars):
    """A ballad of six eighths: kick on one, snare on four. Two beats of three eighths a bar."""
    rng, plan, third = score.rng, _chord_plan(score, n_bars), 1.0 / 3.0
    if rng.random() < 0.7:
        _strokes(score, n_bars, _pick(rng, ((0,), (0, 2 * third), (0, 5 * third))), KICK)
        _strokes(score, n_bars, (1,), _pick(rng, (SNARE, RIM)))
        _hats(score, n_bars, np.arange(6) * third, _pick(rng, (CLOSED_HAT, RIDE)))
    if rng.random() < 0.7:
        _arpeggio(score, plan, _pick(rng, KEYBOARDS + GUITARS), third, (0, 1, 2, 3, 2, 1))
    else:
        _comp(score, plan, _pick(rng, KEYBOARDS), ((0, 1), (1, 1)))
        _comp(score, plan, _pick(rng, GUITARS), tuple((n * third, third) for n in range(6)))
    _bass(score, plan, _pick(rng, (((0, 1.6, 0),), ((0, 1, 0), (1, 0.9, 4)))))
    _layers(score, plan, third)


def swing(score, n_bars):
    """Ride cymbal and walking bass of jazz, swung eighths."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    _hats(score, n_bars, (0, 1, 1.5, 2, 3, 3.5), RIDE, 0.06)
    _strokes(score, n_bars, (1, 3), PEDAL_HAT, 80)
    if rng.random() < 0.5:
        _strokes(score, n_bars, range(4), KICK, 55)
    walk = ((0, 0.9, 0), (1, 0.9, 2), (2, 0.9, 4), (3, 0.9, int(rng.choice([5, 6, 2]))))
    _bass(score, plan, walk, int(rng.choice([32, 33])))
    comps = (((0, 1.5), (1.5, 1)), ((1.5, 0.5), (3.5, 0.5)), ((0, 4),), ((0, 2), (2.5, 1)))
    _comp(score, plan, _pick(rng, (0, 4, 26)), _pick(rng, comps), 4)
    _layers(score, plan, 0.5, (0.8, 0.1))


def half_time(score, n_bars):
    """The snare on three alone: as fast as written, or half as fast."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    _strokes(score, n_bars, _pick(rng, ((0,), (0, 1.5), (0, 3.5), (0, 2.5))), KICK)
    _strokes(score, n_bars, (2,), _pick(rng, (SNARE, CLAP)))
    _hats(score, n_bars, _pick(rng, (np.arange(0, 4, 0.5), np.arange(4.0))), CLOSED_HAT)
    _comp(score, plan, _pick(rng, KEYBOARDS + PADS), _pick(rng, COMPS[:3]))
    _bass(score, plan, _pick(rng, (BASS_LINES[0], BASS_LINES[1])), 38)
    _layers(score, plan, 1.0)


def arpeggios(score, n_bars):
    """Piano or guitar alone, eighths or sixteenths."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    step = 0.5 if score.rng.random() < 0.6 else 0.25
    orders = ((0, 1, 2, 3), (0, 2, 1, 2), (0, 1, 2, 3, 2, 1, 2, 1), (3, 2, 1, 0))
    _arpeggio(score, plan, _pick(rng, (0, 24, 25, 4)), step, _pick(rng, orders))
    _layers(score, plan, 0.5, (0.5, 0.2))


def bossa(score, n_bars):
    """Bossa nova: the clave over two bars, bass on one and three, chords syncopated."""
    rng, plan = score.rng, _chord_plan(score, n_bars)
    for bar in range(0, n_bars - 1, 2):
        for step in (0, 1.5, 3, 5, 6.5):
            score.drum(4 * bar + step, RIM, 80)
    _strokes(score, n_bars, _pick(rng, ((0, 2), (0, 1.5, 2, 3.5))), KICK, 75)
    _hats(score, n_bars, np.arange(0, 4, 0.5), _pick(rng, (CLOSED_HAT, SHAKER)))
    _bass(
        score,
        plan,
        _pick(
            rng,
            (((0, 1.5, 0), (2, 1.5, 4)), ((0, 1.5, 0), (1.5, 0.5, 4), (2, 1.5, 4), (3.5, 0.5, 4))),
        ),
        32,
    )
    comps = (((0, 1), (1.5, 1), (3, 1)), ((0, 0.5), (1, 0.5), (2.5, 0.5), (3.5, 0.5)))
    _comp(score, plan, _pick(rng, (24, 25, 0)), _pick(rng, comps))
    _layers(score, plan, 0.5, (0.6, 0.2))


@dataclass(frozen=True)
class Pattern:
    """A pattern, its metre, tempos and swing."""

    write: Callable[[Score, int], None]
    slowest_bpm: float
    fastest_bpm: float
    metre: str = "4/4"
    swing_unit: float | None = None  # pairs of this length swing
    swing_shares: tuple[float, ...] = (0.5,)


PATTERNS = {
    "boom-bap": Pattern(boom_bap, 66, 110, swing_unit=0.5, swing_shares=(0.5, 0.55, 0.6, 0.66)),
    "four on the floor": Pattern(four_on_the_floor, 100, 145),
    "backbeat": Pattern(backbeat, 75, 170),
    "waltz": Pattern(waltz, 80, 170, "3/4"),
    "6/8 ballad": Pattern(six_eight, 40, 75, "6/8"),
    "swing": Pattern(swing, 90, 170, swing_unit=1.0, swing_shares=(0.6, 0.64, 0.67, 0.7)),
    "half-time": Pattern(half_time, 120, 170),
    "arpeggio": Pattern(arpeggios, 60, 130),
    "bossa": Pattern(bossa, 110, 160),
}
DRUM_PATTERNS = ("boom-bap", "four on the floor", "backbeat", "swing", "bossa")
DRUM_CHANNEL, DRUM_SEED = 9, 2000
BEATS_PER_BAR = {"4/4": 4, "3/4": 3, "6/8": 2}


def drum_piece(seed: int, font: Path) -> Piece:
    """Write a piece in one of five patterns and play its drums alone."""
    name = DRUM_PATTERNS[seed // 2 % len(DRUM_PATTERNS)]
    piece = pattern_piece(name, seed + DRUM_SEED, font, drums_alone=True)
    return replace(piece, name=f"drums alone {seed}", signature=None)


def pattern_piece(name: str, seed: int, font: Path, *, drums_alone: bool = False) -> Piece:
    """Write and play a piece in a pattern."""
    pattern = PATTERNS[name]
    rng = np.random.default_rng([seed, list(PATTERNS).index(name)])
    tempo, m = (
        float(rng.uniform(pattern.slowest_bpm, pattern.fastest_bpm)),
        BEATS_PER_BAR[pattern.metre],
    )
    tonic, mode = int(rng.integers(12)), str(rng.choice(["major", "minor"]))
    share, unit = float(rng.choice(pattern.swing_shares)), pattern.swing_unit

    def swung(beat):
        if unit is None or share == 0.5:
            return beat
        whole, part = divmod(beat / unit, 1.0)
        return unit * (
            whole + (part * 2 * share if part < 0.5 else share + (part - 0.5) * 2 * (1 - share))
        )

    n_bars = int(np.ceil((SECONDS + 4.0) * tempo / 60.0 / m / 4) * 4) + 4
    score = Score(rng, tonic, mode, m, swung)
    pattern.write(score, n_bars)
    if drums_alone:
        score.events = [event for event in score.events if event[2] == DRUM_CHANNEL]
    drift, phase = float(rng.choice([0.0, 0.0, 0.01])), rng.uniform(0, 2 * np.pi)
    beats = np.arange(n_bars * m + 1)
    lengths = 60.0 / tempo * (1.0 + drift * np.sin(2 * np.pi * beats / 48.0 + phase))
    times = np.concatenate([[0.0], np.cumsum(lengths)])[:-1]
    jitter = float(rng.uniform(0.001, 0.010))
    audio = _played(score, beats, times, jitter, font)
    start = float(rng.uniform(0.0, times[m]))
    audio = audio[round(start * SAMPLE_RATE) :][: round(SECONDS * SAMPLE_RATE)]
    tempos = (tempo, tempo / 2) if name == "half-time" else (tempo,)
    signature = (tonic + (3 if mode == "minor" else 0)) % 12
    downbeats = times[::m] - start
    return _detuned(
        Piece(f"{name} {seed}", _level(audio), pattern.metre, tempos, downbeats, signature), seed
    )


def _detuned(piece, seed):
    """Play a third of the pieces up to 0.35 semitones too high or too low, as a turntable does."""
    rng = np.random.default_rng([seed, 200])
    semitones = float(rng.choice([0.0, 0.0, 1.0]) * rng.uniform(-0.35, 0.35))
    speed = 2.0 ** (semitones / 12.0)
    return replace(
        piece,
        audio=transpose(piece.audio, semitones),
        tempos=tuple(tempo * speed for tempo in piece.tempos),
        downbeats=piece.downbeats / speed,
    )


def _played(score, beats, times, jitter, font):
    synth = Synth(gain=0.5, samplerate=2.0 * SAMPLE_RATE)
    synth.setting("synth.reverb.active", int(score.rng.random() < 0.5))
    synth.setting("synth.chorus.active", 0)
    synth.setting("synth.dynamic-sample-loading", 1)
    number = synth.sfload(str(font))
    moments = []
    for start, length, channel, program, key, velocity in score.events:
        first = max(float(np.interp(start, beats, times)) + score.rng.normal(0.0, jitter), 0.0)
        last = max(float(np.interp(start + length, beats, times)), first + 0.03)
        bank = 128 if channel == 9 else 0
        moments.append((first, 1, channel, bank, program, key, velocity))
        moments.append((last, 0, channel, bank, program, key, 0))
    now, parts, selected = 0, [], set()
    for second, is_on, channel, bank, program, key, velocity in sorted(moments):
        at = round(second * 2 * SAMPLE_RATE)
        if at > now:
            parts.append(np.asarray(synth.get_samples(at - now), dtype=np.float32))
            now = at
        if (channel, program) not in selected:
            synth.program_select(channel, number, bank, program)
            selected.add((channel, program))
        if is_on:
            synth.noteon(channel, key, velocity)
        else:
            synth.noteoff(channel, key)
    synth.delete()
    stereo = np.concatenate(parts).reshape(-1, 2) / 32768.0
    return resample_poly(stereo.mean(axis=1), 1, 2).astype(np.float32)


def _level(audio):
    return (0.7 * audio / max(float(np.abs(audio).max()), 1e-9)).astype(np.float32)


def studio_piece(seed: int) -> Piece:
    """Repeat a loop of the studio for thirty seconds, in any key."""
    rng = np.random.default_rng([seed, 100])
    tempo, semitones = float(rng.uniform(60.0, 170.0)), int(rng.integers(-6, 6))
    speed = 2.0 ** (semitones / 12.0)
    loop = render_loop(77, seed, tempo_bpm=tempo / speed).audio
    n_times = int(np.ceil((SECONDS + 6.0) * SAMPLE_RATE / len(loop) * speed))
    audio = transpose(np.tile(loop, n_times), semitones)
    start = float(rng.uniform(0.0, 240.0 / tempo))
    audio = audio[round(start * SAMPLE_RATE) :][: round(SECONDS * SAMPLE_RATE)]
    downbeats = np.arange(0.0, SECONDS, 240.0 / tempo) - start
    return Piece(f"studio {seed}", _level(audio), "4/4", (tempo,), downbeats, semitones % 12)


# Beats of each loop of Sonic Pi with a pulse; their keys are not known.
LOOPS = {
    "loop_amen": 4, "loop_amen_full": 16, "loop_breakbeat": 4, "loop_compus": 16,
    "loop_electric": 4, "loop_garzul": 16, "loop_industrial": 2, "loop_mehackit1": 4,
    "loop_mehackit2": 4, "loop_mika": 16, "loop_perc1": 4, "loop_perc2": 4, "loop_safari": 16,
    "loop_tabla": 16, "loop_weirdo": 8,
}  # fmt: skip
SPEEDS = (0.8, 1.0, 1.2)


def recorded_piece(path: Path, speed: float) -> Piece:
    """Repeat a recorded loop for thirty seconds, slower or faster."""
    audio, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    loop = soxr.resample(audio.mean(axis=1), sample_rate * speed, SAMPLE_RATE)
    repeated = np.tile(loop, int(np.ceil(SECONDS * SAMPLE_RATE / len(loop))))
    n_beats, seconds = LOOPS[path.stem], len(loop) / SAMPLE_RATE
    downbeats = np.arange(0.0, SECONDS, 4.0 * seconds / n_beats)
    tempo, name = 60.0 * n_beats / seconds, f"{path.stem} x {speed}"
    audio = _level(repeated)[: round(SECONDS * SAMPLE_RATE)]
    return Piece(name, audio, "4/4", (tempo,), downbeats, None)

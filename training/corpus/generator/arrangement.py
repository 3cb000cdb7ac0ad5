"""From a plan to note events: which instrument plays which key when, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from training.corpus.generator.harmony import PENTATONIC, PlacedChord, place_chords
from training.corpus.generator.instruments import INSTRUMENTS
from training.corpus.generator.plan import BED, Plan
from training.corpus.generator.random_streams import random_stream


class Note(NamedTuple):
    """A key held down; times in seconds from the start of the loop (they may wrap round)."""

    start_seconds: float
    length_seconds: float
    key: int
    velocity: float  # MIDI: 0..127
    instrument: str


class Hit(NamedTuple):
    """A drum struck."""

    start_seconds: float
    drum: str
    gain: float


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What every layer plays; a layer that is off is absent."""

    notes: dict[str, list[Note]]
    hits: list[Hit]
    chord_names: tuple[str, ...]


# (first 16th, length in 16ths, velocity factor) in a bar; arpeggios are made note by note
_CHORD_RHYTHMS: dict[str, tuple[tuple[int, int, float], ...]] = {
    "whole": ((0, 15, 1.0),),
    "charleston": ((0, 5, 1.0), (6, 9, 0.8)),
    "halves": ((0, 8, 1.0), (8, 7, 0.85)),
    "push": ((0, 9, 1.0), (10, 2, 0.6), (14, 2, 0.75)),
    "offbeat": ((2, 3, 0.8), (6, 4, 1.0), (10, 3, 0.7), (14, 2, 0.8)),
    "stabs": ((0, 2, 1.0), (3, 2, 0.7), (8, 2, 0.9), (11, 3, 0.7)),
}
_ARPEGGIO_STEPS = {"eighth arpeggio": 2, "sixteenth arpeggio": 1}

# (first 16th, length in 16ths, what it plays)
_BASS_LINES: dict[str, tuple[tuple[int, int, str], ...]] = {
    "root": ((0, 14, "root"),),
    "two": ((0, 6, "root"), (8, 6, "fifth")),
    "pushed": ((0, 5, "root"), (6, 2, "root"), (10, 5, "fifth")),
    "bounce": ((0, 3, "root"), (3, 3, "root"), (8, 3, "octave"), (11, 4, "fifth")),
    "walking": ((0, 4, "root"), (4, 4, "third"), (8, 4, "fifth"), (12, 4, "approach")),
    "syncopated": ((0, 5, "root"), (7, 3, "root"), (10, 3, "fifth"), (14, 2, "approach")),
}
BED_INSTRUMENT = "tine piano"
_LOWEST_BASS_KEY = 31  # G1, 49 Hz

_KICK_PATTERNS: dict[str, tuple[int, ...]] = {
    "two": (0, 8),
    "boom bap": (0, 7, 10),
    "lazy": (0, 10),
    "stumbling": (0, 3, 10),
    "double": (0, 2, 8, 11),
    "push": (0, 6, 8, 14),
    "busy": (0, 5, 7, 10, 13),
    "one": (0,),
}
_HAT_PATTERNS: dict[str, tuple[tuple[int, ...], float]] = {
    "eighths": (tuple(range(0, 16, 2)), 1.0),
    "sixteenths": (tuple(range(16)), 0.8),
    "offbeats": (tuple(range(2, 16, 4)), 1.0),
    "quarters": (tuple(range(0, 16, 4)), 1.0),
    "skipping": ((0, 2, 4, 7, 8, 10, 12, 15), 0.95),
}

_MELODY_LENGTHS = ((1, 2, 3, 4, 6), (0.08, 0.50, 0.12, 0.20, 0.10))
_MELODY_LEAPS = ((-2, -1, 0, 1, 2, 3), (0.12, 0.32, 0.06, 0.32, 0.12, 0.06))


def arrange(plan: Plan, seed: int, index: int, *, tempo_bpm: float, bars: int) -> Arrangement:
    """Write the parts of all layers that are on; each uses only its own random streams."""
    player = _Player(plan, seed, index, tempo_bpm, bars)
    writers = {
        "chords": player.chords,
        "bass": player.bass,
        "melody": player.melody,
        "pad": player.pad,
        BED: player.bed,
    }
    return Arrangement(
        notes={layer: write() for layer, write in writers.items() if plan.plays(layer)},
        hits=player.drums() if plan.drums_on else [],
        chord_names=tuple(placed.chord.name for placed in player.placed),
    )


class _Player:
    """The plan, the grid and the harmony; every method writes one layer."""

    def __init__(self, plan: Plan, seed: int, index: int, tempo_bpm: float, bars: int) -> None:
        self.plan = plan
        self.bars = bars
        self.beat_seconds = 60.0 / tempo_bpm
        self.step_seconds = self.beat_seconds / 4.0
        self.placed = tuple(
            replace(placed, keys=tuple(key + 12 * plan.octave for key in placed.keys))
            for placed in place_chords(plan.progression, bars, plan.register)
        )
        self._seed, self._index = seed, index

    # -- time and touch ---------------------------------------------------------------------

    def stream(self, purpose: str, number: int = 0) -> np.random.Generator:
        return random_stream(self._seed, self._index, purpose, number)

    def seconds(self, bar: int, step: int) -> float:
        """Return when a 16th of a bar falls, swung."""
        beat, sixteenth = divmod(step, 4)
        swing = self.plan.swing
        if self.plan.swing_unit == 16:
            within = (0.0, swing / 2, 0.5, 0.5 + swing / 2)[sixteenth]
        else:
            within = (0.0, swing / 2, swing, (1 + swing) / 2)[sixteenth]
        return (4 * bar + beat + within) * self.beat_seconds

    def slip(self, rng: np.random.Generator, deviation_seconds: float = 0.008) -> float:
        return float(rng.normal(0.0, deviation_seconds)) * self.plan.humanise

    def touch(self, rng: np.random.Generator, velocity: float, deviation: float = 9.0) -> float:
        played = velocity + rng.normal(0.0, deviation) * self.plan.humanise
        return float(np.clip(played, 20.0, 120.0))

    # -- chords and pad ---------------------------------------------------------------------

    def chords(self) -> list[Note]:
        notes: list[Note] = []
        arpeggio_step = _ARPEGGIO_STEPS.get(self.plan.chord_rhythm)
        for number, placed in enumerate(self.placed):
            rng = self.stream("chords", number)
            if arpeggio_step:
                notes += self._arpeggio(placed, arpeggio_step, rng)
            else:
                notes += self._struck_chords(placed, rng)
            if self.plan.left_hand_on:
                notes.append(self._left_hand(placed, rng))
        return notes

    def _arpeggio(self, placed: PlacedChord, step: int, rng: np.random.Generator) -> list[Note]:
        up_and_down = placed.keys + placed.keys[-2:0:-1]
        notes = []
        for number, offset in enumerate(range(0, placed.n_steps, step)):
            left_out = step == 1 and rng.random() < 0.2
            start = self.seconds(placed.bar, placed.first_step + offset) + self.slip(rng)
            velocity = self.touch(rng, 78.0 if offset % 4 == 0 else 66.0)
            key = up_and_down[number % len(up_and_down)]
            if not left_out:
                length = 3 * step * self.step_seconds
                notes.append(Note(start, length, key, velocity, self.plan.chord_instrument))
        return notes

    def _struck_chords(self, placed: PlacedChord, rng: np.random.Generator) -> list[Note]:
        instrument = self.plan.chord_instrument
        strum_seconds = INSTRUMENTS[instrument].strum_seconds * float(rng.uniform(1.0, 2.0))
        notes = []
        for offset, n_steps, weight in _CHORD_RHYTHMS[self.plan.chord_rhythm]:
            if offset >= placed.n_steps:
                continue
            start = self.seconds(placed.bar, placed.first_step + offset)
            start += self.plan.lay_back_seconds / 2 + self.slip(rng)
            length = min(n_steps, placed.n_steps - offset) * self.step_seconds * 0.97
            for voice, key in enumerate(placed.keys):
                accent = 4.0 if voice == len(placed.keys) - 1 else 0.0  # the top voice is louder
                velocity = self.touch(rng, 76.0 * weight + accent)
                notes.append(Note(start + voice * strum_seconds, length, key, velocity, instrument))
        return notes

    def _left_hand(self, placed: PlacedChord, rng: np.random.Generator) -> Note:
        key = 40 + (placed.chord.root - 40) % 12
        start = self.seconds(placed.bar, placed.first_step) + self.slip(rng)
        length = placed.n_steps * self.step_seconds * 0.9
        return Note(start, length, key, self.touch(rng, 70.0), self.plan.chord_instrument)

    def pad(self) -> list[Note]:
        notes = []
        for number, placed in enumerate(self.placed):
            rng = self.stream("pad", number)
            start = self.seconds(placed.bar, placed.first_step)
            length = placed.n_steps * self.step_seconds + 0.15  # chords overlap
            for key in placed.keys[:4]:
                velocity = self.touch(rng, 60.0, 3.0)
                notes.append(Note(start, length, key, velocity, self.plan.pad_instrument))
        return notes

    def bed(self) -> list[Note]:
        """Soft chords, or arpeggios of them where the chords are arpeggios."""
        is_broken = self.plan.chord_rhythm in _ARPEGGIO_STEPS
        step = 2 if is_broken else 16
        notes = []
        for number, placed in enumerate(self.placed):
            rng = self.stream(BED, number)
            for offset in range(0, placed.n_steps, step):
                n_steps = min(step, placed.n_steps - offset)
                start = self.seconds(placed.bar, placed.first_step + offset) + self.slip(rng)
                turn = offset // step % len(placed.keys)
                keys = placed.keys[turn : turn + 1] if is_broken else placed.keys
                for key in keys:
                    velocity = self.touch(rng, 58.0, 3.0)
                    length = n_steps * self.step_seconds
                    notes.append(Note(start, length, key, velocity, BED_INSTRUMENT))
        return notes

    # -- bass -------------------------------------------------------------------------------

    def bass(self) -> list[Note]:
        notes = []
        following = self.placed[1:] + self.placed[:1]
        for number, (placed, upcoming) in enumerate(zip(self.placed, following, strict=True)):
            rng = self.stream("bass", number)
            for offset, n_steps, role in _BASS_LINES[self.plan.bass_line]:
                if offset >= placed.n_steps:
                    continue
                start = self.seconds(placed.bar, placed.first_step + offset)
                start += self.plan.lay_back_seconds + self.slip(rng, 0.006)
                length = min(n_steps, placed.n_steps - offset) * self.step_seconds * 0.92
                key = self._bass_key(placed, upcoming, role, rng)
                velocity = self.touch(rng, 88.0 if offset == 0 else 78.0)
                notes.append(Note(start, length, key, velocity, self.plan.bass_instrument))
        return notes

    @staticmethod
    def _bass_key(
        placed: PlacedChord, upcoming: PlacedChord, role: str, rng: np.random.Generator
    ) -> int:
        if role == "approach":
            return _lowest_bass(upcoming.chord.root) + int(rng.choice([-1, 1, 2]))
        steps = {"root": 0, "octave": 12}
        rise = steps[role] if role in steps else placed.chord.degree(role)
        return _lowest_bass(placed.chord.root) + rise

    # -- melody -----------------------------------------------------------------------------

    def melody(self) -> list[Note]:
        """Repeat a two-bar motif, or answer it with a second one."""
        scale = self._melody_scale()
        call, answer = (self._motif(self.stream("motif", n), len(scale)) for n in (0, 1))
        rng = self.stream("melody")
        phrases = (call, answer if rng.random() < 0.5 else call)
        notes = []
        for first_bar in range(0, self.bars, 2):
            phrase = phrases[(first_bar // 2) % 2]
            for number, (step, n_steps, degree) in enumerate(phrase):
                bar = first_bar + step // 16
                if bar < self.bars:
                    # Drawn even if it is left out: the other notes are then played the same way.
                    note = self._melody_note(bar, step % 16, n_steps, scale[degree], rng)
                    notes += [] if self.plan.melody_thinned and number % 2 else [note]
        return notes

    def _melody_scale(self) -> list[int]:
        middle = 72 + self.plan.register // 2 + 12 * self.plan.octave
        return [key for key in range(middle - 7, middle + 12) if key % 12 in PENTATONIC]

    def _motif(self, rng: np.random.Generator, n_degrees: int) -> list[tuple[int, int, int]]:
        """Return two bars of (16th, length in 16ths, degree of the scale)."""
        density = self.plan.melody_density
        step = int(rng.choice([0, 0, 2, 4, 6]))
        degree = int(rng.integers(n_degrees // 3, 2 * n_degrees // 3 + 1))
        motif: list[tuple[int, int, int]] = []
        while step < 30:
            n_steps = int(rng.choice(_MELODY_LENGTHS[0], p=_MELODY_LENGTHS[1]))
            if not motif or rng.random() < density + 0.25:
                motif.append((step, n_steps + (2 if rng.random() < 0.3 else 0), degree))
                leap = int(rng.choice(_MELODY_LEAPS[0], p=_MELODY_LEAPS[1]))
                degree = int(np.clip(degree + leap, 0, n_degrees - 1))
            step += n_steps
            if rng.random() > density + 0.2:  # a rest
                step += int(rng.choice([2, 4, 6]))
        return motif

    def _melody_note(
        self, bar: int, step: int, n_steps: int, key: int, rng: np.random.Generator
    ) -> Note:
        if step % 4 == 0:  # strong beats fall on a chord tone
            key = _nearest_chord_tone(key, self._chord_at(bar, step))
        start = self.seconds(bar, step) + 1.5 * self.plan.lay_back_seconds + self.slip(rng, 0.012)
        length = n_steps * self.step_seconds * 1.05
        return Note(start, length, key, self.touch(rng, 80.0), self.plan.melody_instrument)

    def _chord_at(self, bar: int, step: int) -> PlacedChord:
        return next(
            placed
            for placed in reversed(self.placed)
            if (placed.bar, placed.first_step) <= (bar, step)
        )

    # -- drums ------------------------------------------------------------------------------

    def drums(self) -> list[Hit]:
        habits = self.stream("drum habits")
        ghost_steps = habits.choice([3, 6, 7, 9, 11, 15], 2, replace=False).tolist()
        fills = habits.random() < 0.35
        hits: list[Hit] = []
        for bar in range(self.bars):
            turns_round = bar % 4 == 3
            hits += self._kicks(bar, turns_round) + self._snares(bar)
            if self.plan.ghost_notes_on:
                hits += self._ghosts(bar, ghost_steps)
            if fills and turns_round:
                hits += self._fill(bar)
            if self.plan.hats_on:
                hits += self._hats(bar)
        return hits

    def _kicks(self, bar: int, turns_round: bool) -> list[Hit]:
        rng = self.stream("kick", bar)
        steps = list(_KICK_PATTERNS[self.plan.kick_pattern])
        if turns_round and rng.random() < 0.5:
            pickup = int(rng.choice([11, 13, 14, 15]))
            steps += [] if pickup in steps else [pickup]
        return [
            self._hit(bar, s, "kick", 100.0 if s == 0 else 88.0, rng, deviation_seconds=0.004)
            for s in steps
        ]

    def _snares(self, bar: int) -> list[Hit]:
        rng = self.stream("snare", bar)
        drum, late = self.plan.snare_sound, self.plan.lay_back_seconds
        return [
            self._hit(bar, step, drum, 96.0, rng, deviation_seconds=0.004, late_seconds=late)
            for step in (4, 12)
        ]

    def _ghosts(self, bar: int, steps: list[int]) -> list[Hit]:
        rng = self.stream("ghosts", bar)
        played = [step for step in steps if rng.random() < 0.7]
        return [self._hit(bar, step, "ghost", 45.0, rng) for step in played]

    def _fill(self, bar: int) -> list[Hit]:
        rng = self.stream("fill", bar)
        drum = "snare" if self.plan.snare_sound == "snare" else "ghost"
        played = [step for step in (13, 14, 15) if rng.random() < 0.6]
        return [self._hit(bar, step, drum, 28.0 + 2.0 * step, rng) for step in played]

    def _hats(self, bar: int) -> list[Hit]:
        rng = self.stream("hats", bar)
        steps, level = _HAT_PATTERNS[self.plan.hat_pattern]
        opens = self.plan.hat_sound == "closed hat" and 14 in steps and bar % 2 == 1
        opens = bool(rng.random() < 0.4) and opens
        hits = []
        for step in steps:
            accent = {0: 92.0, 2: 78.0}.get(step % 4, 48.0)
            drum = "open hat" if opens and step == 14 else self.plan.hat_sound
            hit = self._hit(bar, step, drum, level * accent, rng, deviation_seconds=0.005)
            if rng.random() >= 0.05:  # leave out one in twenty
                hits.append(hit)
        return hits

    def _hit(
        self,
        bar: int,
        step: int,
        drum: str,
        velocity: float,
        rng: np.random.Generator,
        *,
        deviation_seconds: float = 0.008,
        late_seconds: float = 0.0,
    ) -> Hit:
        start = self.seconds(bar, step) + late_seconds + self.slip(rng, deviation_seconds)
        return Hit(start, drum, self.touch(rng, velocity, 6.0) / 100.0)


def _lowest_bass(root: int) -> int:
    return _LOWEST_BASS_KEY + (root - _LOWEST_BASS_KEY) % 12


def _nearest_chord_tone(key: int, placed: PlacedChord) -> int:
    tones = placed.chord.pitch_classes
    neighbours = (key + move for move in (0, -1, 1, -2, 2, -3, 3))
    return next((candidate for candidate in neighbours if candidate % 12 in tones), key)

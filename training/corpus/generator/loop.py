"""One generated loop: plan, arrange, add up the notes, mix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.arrangement import Arrangement, Note, arrange
from training.corpus.generator.instruments import INSTRUMENTS
from training.corpus.generator.mix import Audio, mix, mix_gain, take_stems
from training.corpus.generator.note_cache import NoteBank
from training.corpus.generator.plan import BED, LAYERS, Plan, draw_plan

GENERATOR = "lo-fi studio 1"
"""Name of this generator; it gets a new number whenever the same seed sounds different."""

BEATS_PER_BAR = 4
_SHORTEST_NOTE_SECONDS = 0.04


@dataclass(frozen=True, slots=True)
class Loop:
    """A seamless loop and what is known about it."""

    audio: Audio  # (n_samples,) at SAMPLE_RATE, beat 0 first
    labels: dict[str, Any]
    stems: dict[str, Audio] | None = None  # the share of every layer in the mix, each (n_samples,)


def render_loop(
    seed: int,
    index: int,
    *,
    tempo_bpm: float = 80.0,
    bars: int = 4,
    fix: Mapping[str, Any] | None = None,
    soundfont: Path | None = None,
    with_stems: bool = False,
    as_loud_as: Mapping[str, Any] | None = None,
) -> Loop:
    """Render one loop of the endless series of a seed.

    Parameters
    ----------
    seed, index
        Which series, and which loop of it; together they determine the loop.
    tempo_bpm, bars
        Length of the loop: ``bars * 4`` beats.
    fix
        Decisions of the plan to overrule, such as ``{"bass_on": False}``; all others stay.
    soundfont
        General MIDI sound font to play the instruments with; None: synthesise them.
    with_stems
        Keep the share of every layer in the mix, too.
    as_loud_as
        Decisions, as in `fix`, of another loop of the same seed and index: the gain of its mix is
        applied to this one; None: the loop's own gain.

    Returns
    -------
    Loop
        Dry mono audio, (n_samples,), and the plan as labels.

    Raises
    ------
    PlanError
        If `fix` names an unknown decision or value, or leaves no layer on.
    SoundFontError
        If the sound font cannot be played.
    """
    grid = (tempo_bpm, bars)
    plan, arrangement, layers = _parts(seed, index, fix, grid, soundfont)
    gain = None
    if as_loud_as is not None:
        gain = _gain(seed, index, tuple(sorted(as_loud_as.items())), grid, soundfont)
    audio = mix(layers, arrangement.hits, plan, tempo_bpm=tempo_bpm, gain=gain)
    stems = None
    if with_stems:
        stems = take_stems(layers, arrangement.hits, plan, tempo_bpm=tempo_bpm)
    chord_names = list(arrangement.chord_names)
    labels = {**plan.labels(), "tempo_bpm": tempo_bpm, "bars": bars, "chord_names": chord_names}
    return Loop(audio, labels, stems)


def _parts(
    seed: int,
    index: int,
    fix: Mapping[str, Any] | None,
    grid: tuple[float, int],
    soundfont: Path | None,
) -> tuple[Plan, Arrangement, dict[str, Audio]]:
    tempo_bpm, bars = grid
    plan = draw_plan(seed, index, fix)
    arrangement = arrange(plan, seed, index, tempo_bpm=tempo_bpm, bars=bars)
    n_samples = round(bars * BEATS_PER_BAR * 60.0 / tempo_bpm * SAMPLE_RATE)
    layers = render_layers(arrangement, plan, n_samples, soundfont=soundfont)
    return plan, arrangement, layers


# All versions of a composition ask for the gain of the same one, one after another.
@lru_cache(maxsize=1)
def _gain(
    seed: int,
    index: int,
    fix: tuple[tuple[str, Any], ...],
    grid: tuple[float, int],
    soundfont: Path | None,
) -> np.float32:
    plan, arrangement, layers = _parts(seed, index, dict(fix), grid, soundfont)
    return mix_gain(layers, arrangement.hits, plan, tempo_bpm=grid[0])


def render_layers(
    arrangement: Arrangement, plan: Plan, n_samples: int, *, soundfont: Path | None = None
) -> dict[str, Audio]:
    """Add up the notes of every layer, each (n_samples,) and wrapped; silent where off."""
    bank = _bank(soundfont)
    played = (*LAYERS, BED) if plan.bed_on else LAYERS
    layers = {layer: np.zeros(n_samples, dtype=np.float32) for layer in played}
    for layer, notes in arrangement.notes.items():
        for note in notes:
            _add_wrapped(layers[layer], _held(note, bank), note.start_seconds)
    takes = {"kick": plan.kick_take, "snare": plan.snare_take, "ghost": plan.snare_take}
    for hit in arrangement.hits:
        stroke = bank.drum(plan.kit, hit.drum, takes.get(hit.drum, plan.hat_take))
        sound = stroke.samples * np.float32(hit.gain * stroke.scale)
        _add_wrapped(layers["drums"], sound, hit.start_seconds)
    return layers


@lru_cache(maxsize=1)
def _bank(soundfont: Path | None) -> NoteBank:
    """Return this process's bank, which is filled as loops need notes."""
    if soundfont is None:
        return NoteBank()
    from training.corpus.generator.soundfont import SoundFont

    return NoteBank(player=SoundFont(soundfont).play_note)


def _held(note: Note, bank: NoteBank) -> Audio:
    """Return a note held for its length and released, (n_samples,)."""
    sample, gain = bank.note(note.instrument, note.key, note.velocity)
    length_seconds = max(note.length_seconds, _SHORTEST_NOTE_SECONDS)
    n_held = int(length_seconds * SAMPLE_RATE)
    n_release = int(INSTRUMENTS[note.instrument].release_seconds * SAMPLE_RATE)
    n_samples = min(n_held + n_release, len(sample))
    sound = sample.samples[:n_samples] * np.float32(gain * sample.scale)
    n_tail = min(n_release, n_samples)
    sound[n_samples - n_tail :] *= np.linspace(1.0, 0.0, n_tail, dtype=np.float32) ** 2
    return sound


def _add_wrapped(layer: Audio, sound: Audio, start_seconds: float) -> None:
    """Add a sound to a loop; what passes the end continues at the beginning."""
    start = round(start_seconds * SAMPLE_RATE) % len(layer)
    while len(sound) > 0:
        n_fitting = min(len(sound), len(layer) - start)
        layer[start : start + n_fitting] += sound[:n_fitting]
        sound, start = sound[n_fitting:], 0

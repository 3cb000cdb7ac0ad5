"""Instruments from a General MIDI sound font: optional, and better than the synthesised ones.

FluidSynth plays them (LGPL, a system library, through pyfluidsynth). Drums and the sub bass stay
synthesised: General MIDI has fewer kits than five, and the sub bass is a sine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from device.errors import SwitchboardError
from device.files import utf8_name
from training.corpus.format import SAMPLE_RATE
from training.corpus.generator.instruments import INSTRUMENTS, at_its_level, play_note
from training.corpus.generator.signals import Signal

# General MIDI programs, counted from 0.
PROGRAMS = {
    "piano": 0, "tine piano": 4, "glass piano": 5, "music box": 10, "vibraphone": 11,
    "nylon guitar": 24, "jazz guitar": 26, "upright bass": 32, "finger bass": 33,
    "fretless bass": 35, "strings": 48, "muted trumpet": 59, "flute": 73, "warm pad": 89,
    "kalimba": 108,
}  # fmt: skip

_RATE = 2 * SAMPLE_RATE  # FluidSynth does not filter what it plays above the band
_GAIN = 0.6  # one loud note stays below full scale


class SoundFontError(SwitchboardError, OSError):
    """A sound font that cannot be played: missing, of another kind, or without a player."""

    exit_code = 28


class SoundFont:
    """A sound font to play from; `play_note` is a drop-in for the synthesised one."""

    def __init__(self, path: Path) -> None:
        check_sound_font(path)
        self._path = path
        # Never deleted: FluidSynth keeps the samples of a font that is loaded somewhere.
        self._keep_alive = self._open()

    def play_note(self, instrument: str, key: int, velocity: int) -> Signal:
        """Return one held note at its level, (n_samples,), as `instruments.play_note` does."""
        program = PROGRAMS.get(instrument)
        if program is None:
            return play_note(instrument, key, velocity)
        note = self._record(program, key, velocity, INSTRUMENTS[instrument].longest_seconds)
        if not note.any():
            return play_note(instrument, key, velocity)  # out of the font's range
        return at_its_level(note, instrument, key, velocity)

    def _record(self, program: int, key: int, velocity: int, seconds: float) -> Signal:
        from scipy.signal import resample_poly

        # A new synth for every note: a used one has state from the notes before.
        synth, font = self._open()
        try:
            if synth.program_select(0, font, 0, program) != 0:
                raise SoundFontError(
                    f"{self._path} has no program {program} in bank 0, expected a General MIDI "
                    "sound font"
                )
            synth.noteon(0, key, velocity)
            stereo = np.asarray(synth.get_samples(round(seconds * _RATE)), dtype=np.float64)
        finally:
            synth.delete()
        mono = stereo.reshape(-1, 2).mean(axis=1) / 32768.0
        note: Signal = resample_poly(mono, 1, _RATE // SAMPLE_RATE)
        return note

    def _open(self) -> tuple[Any, int]:
        with _explained():
            from fluidsynth import Synth

        synth = Synth(gain=_GAIN, samplerate=float(_RATE))
        synth.setting("synth.reverb.active", 0)
        synth.setting("synth.chorus.active", 0)
        with utf8_name(self._path) as name:
            font = synth.sfload(name)
        if font < 0:
            synth.delete()
            raise SoundFontError(f"{self._path}: FluidSynth cannot load it; give another one")
        return synth, font


def check_sound_font(path: Path) -> None:
    """Refuse a file that is no sound font, before FluidSynth prints errors of its own."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise SoundFontError(f"{path} cannot be read ({error.strerror})") from error
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise SoundFontError(f"{path} is not a sound font: expected an .sf2 or .sf3 file")


def soundfont_parameters(path: Path | None) -> Mapping[str, Any]:
    """Name and hash of the sound font that plays a corpus, in JSON values; null for None."""
    if path is None:
        return {"soundfont": None}
    check_sound_font(path)
    with path.open("rb") as file:
        return {"soundfont": path.name, "soundfont_sha256": file_digest(file, "sha256").hexdigest()}


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SoundFontError(
            "a sound font needs pyfluidsynth: pip install 'lofi-switchboard[soundfont]'"
        ) from error
    except ImportError as error:
        raise SoundFontError(
            f"a sound font needs the FluidSynth library ({error}): on Debian, "
            "apt install libfluidsynth3"
        ) from error

"""The note bank: a note is synthesised once, when it is first needed, then only added up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpus.generator.drums import play_drum
from training.corpus.generator.instruments import INSTRUMENTS, play_note
from training.corpus.generator.signals import Signal

Player = Callable[[str, int, int], Signal]
"""(instrument, key, velocity) → a held note, (n_samples,)"""

_SILENCE = 10.0 ** (-72.0 / 20.0)  # a tail this far below its peak is not worth keeping


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded sound in 16 bits; `scale` brings it back to full range."""

    samples: NDArray[np.int16]  # (n_samples,)
    scale: float

    @classmethod
    def record(cls, signal: Signal) -> Sample:
        """Keep a signal up to where it falls silent."""
        magnitude = np.abs(signal)
        peak = float(magnitude.max())
        n_audible = int(np.flatnonzero(magnitude > _SILENCE * peak)[-1]) + 1
        samples = np.round(signal[:n_audible] * (32767.0 / peak)).astype(np.int16)
        return cls(samples, peak / 32767.0)

    def __len__(self) -> int:
        return len(self.samples)


class NoteBank:
    """Bounded cache of rendered notes and drums; the least recently used are dropped first.

    What it returns does not depend on earlier requests: dropping notes changes the speed, not the
    sound.
    """

    def __init__(self, max_bytes: int = 64 * 2**20, *, player: Player = play_note) -> None:
        self.max_bytes = max_bytes
        self._player = player
        self.n_bytes = 0
        self._samples: OrderedDict[tuple[str, str, int], Sample] = OrderedDict()

    def note(self, instrument: str, key: int, velocity: float) -> tuple[Sample, float]:
        """Return the recording nearest to a key struck so hard, and the gain it needs."""
        spec = INSTRUMENTS[instrument]
        while key < spec.lowest_key:
            key += 12
        while key > spec.highest_key:
            key -= 12
        layer = spec.velocity_layers[0 if velocity < 72.0 else -1]
        sample = self._get(
            (instrument, str(layer), key), lambda: self._player(instrument, key, layer)
        )
        return sample, (velocity / 90.0) ** 1.3

    def drum(self, kit: str, drum: str, take: int) -> Sample:
        """Return a drum of a kit."""
        return self._get((kit, drum, take), lambda: play_drum(kit, drum, take))

    def _get(self, name: tuple[str, str, int], play: Callable[[], Signal]) -> Sample:
        sample = self._samples.get(name)
        if sample is None:
            sample = self._samples[name] = Sample.record(play())
            self.n_bytes += sample.samples.nbytes
            while self.n_bytes > self.max_bytes and len(self._samples) > 1:
                _, oldest = self._samples.popitem(last=False)
                self.n_bytes -= oldest.samples.nbytes
        self._samples.move_to_end(name)
        return sample

"""The audio loop's side of a recording: it counts, and passes on; nothing here waits."""

from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from device.playback.recording.events import (
    End,
    Event,
    Fade,
    Failure,
    Flip,
    Quality,
    Rest,
    Setting,
    Takeover,
)
from device.playback.recording.ring import SampleRing
from device.switches.bits import Bits, format_bits
from device.synthesis.vocoder import Vocoder
from device.synthesis.voice import Voice


class Log(Protocol):
    """Where events go."""

    def put(self, event: Event) -> None:
        """Take an event; returns at once."""
        ...


class Recorder:
    """Makes the events of a performance, and keeps its sound.

    It observes the voice switcher. All methods but `keep` are for the audio loop.

    Parameters
    ----------
    ring : SampleRing or None
        None: nothing can be kept.
    """

    def __init__(self, log: Log, ring: SampleRing | None = None) -> None:
        self.ring = ring
        self._log = log
        self._n_blocks = 0
        self._n_samples = 0
        self._n_resting = 0
        self._fade: tuple[int, int] | None = None
        self._wants_keeping = False
        self._n_voices = 0
        self._numbers: WeakKeyDictionary[Voice, int] = WeakKeyDictionary()
        self._vocoders: WeakKeyDictionary[Vocoder, int] = WeakKeyDictionary()
        self._failed: int | None = None

    def keep(self) -> None:
        """Request that the last minutes are kept; from any thread, returns at once."""
        self._wants_keeping = True

    def take_request(self) -> bool:
        """Whether `keep` was called since the last call of this."""
        wanted, self._wants_keeping = self._wants_keeping, False
        if wanted:
            # The log of what is kept has to reach as far as its sound.
            self._here()
        return wanted

    def take(self, samples: NDArray[np.float32]) -> None:
        """Samples that the speaker has taken, (n,)."""
        if self.ring is not None:
            self.ring.write(samples)

    def rest(self, silence: NDArray[np.float32]) -> None:
        """Silence that the speaker has taken while the music stood still, (n,)."""
        self._n_resting += len(silence)
        self.take(silence)

    def follow(self, voice: Voice) -> int:
        """The number of a voice, whose flips are recorded from now on."""
        if voice not in self._numbers:
            number, self._n_voices = self._n_voices, self._n_voices + 1
            self._numbers[voice] = number
            self._vocoders.setdefault(voice.vocoder, number)
            voice.on_change = partial(self._put_flip, number)
        return self._numbers[voice]

    def count_block(self, n_samples: int) -> None:
        """A block was made."""
        if self._n_resting:
            self._here()
        self._n_blocks += 1
        self._n_samples += n_samples

    def note_takeover(self, voice: Voice, *, at_once: bool) -> None:
        """A voice was scheduled."""
        number = self.follow(voice)
        vocoder, network = self._vocoders[voice.vocoder], voice.network
        self._log.put(
            Takeover(
                *(*self._here(), number, vocoder, at_once),
                *(network.digest, network.card.title),
                *(voice.performance.tempo_bpm, voice.performance.gain_db),
            )
        )

    def note_quality(self, n_iterations: int, held_frames: int) -> None:
        """The quality of the voice that is heard was set."""
        self._log.put(Quality(*self._here(), n_iterations, held_frames))

    def note_setting(self, name: str, value: float | None) -> None:
        """The tempo or the gain was set."""
        self._log.put(Setting(*self._here(), name, value))

    def note_fade(self, level: float, n_samples: int) -> None:
        """A fade of all sound began."""
        self._log.put(Fade(*self._here(), level, n_samples))

    def note_failure(self, voice: Voice) -> None:
        """The voice that is heard has failed."""
        number = self.follow(voice)
        if number != self._failed:
            self._failed = number
            self._log.put(Failure(*self._here(), number, str(voice.failure)))

    def begin_fade(self, n_samples: int) -> None:
        """The blocks from now on are the end."""
        self._fade = self._here()[0], n_samples

    def end(self, n_samples: int) -> None:
        """So many samples were written, and no more will be."""
        here, _ = self._here()
        block, fade_samples = self._fade or (here, 0)
        self._log.put(End(block, n_samples, fade_samples))

    def _here(self) -> tuple[int, int]:
        """Blocks and samples so far; a rest until now is logged first."""
        n_samples, self._n_resting = self._n_resting, 0
        if n_samples:
            self._log.put(Rest(self._n_blocks, self._n_samples, n_samples))
            self._n_samples += n_samples
        return self._n_blocks, self._n_samples

    def _put_flip(self, voice: int, frame: int, bits: Bits) -> None:
        self._log.put(Flip(*self._here(), voice, frame, format_bits(bits)))

"""The exact rendering of a performance from its log."""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from device.errors import PerformanceError
from device.files import read_regular
from device.model.network import Network
from device.plain_text import one_line
from device.playback.control import LEAST_BPM, LEAST_DB, MOST_BPM, MOST_DB
from device.playback.recording.events import (
    End,
    Event,
    Fade,
    Failure,
    Flip,
    Header,
    Quality,
    Rest,
    Setting,
    Takeover,
    to_event,
    to_header,
)
from device.playback.transition import Samples, fade_out
from device.playback.voice_switcher import VoiceSwitcher
from device.switches.bits import Bits, parse_bits
from device.synthesis.performance import Performance
from device.synthesis.transport import Quantize
from device.synthesis.vocoder import INVERSION_PRESET, Vocoder, shape_of
from device.synthesis.voice import HasVocoder, Voice

# The largest log that is read.
MOST_READ_BYTES = 64 * 2**20
# Of a performance it is 0.058 s, or a block.
_MOST_FADE_SECONDS = 10.0
# Of silence, in one piece.
_REST_SAMPLES = 2**16

OpenNetwork = Callable[[str, str], Network]


@dataclass(frozen=True)
class Log:
    """A log that was read.

    Attributes
    ----------
    end : End or None
        None: the performance was cut off, by a power cut for example.
    """

    header: Header
    events: tuple[Event, ...]
    end: End | None

    @property
    def n_samples(self) -> int:
        """Length of the music; of one that was cut off, up to its last event."""
        if self.end is not None:
            return self.end.sample
        return max((event.sample for event in self.events), default=0)


def read_log(path: Path) -> Log:
    """Read a log; a last line that was not written to its end is left out.

    Raises
    ------
    PerformanceError
        If it cannot be read, or a line is none that this version knows.
    """
    try:
        lines = read_regular(path, MOST_READ_BYTES).split(b"\n")
    except OSError as error:
        raise PerformanceError(
            f"{path}: found {error.strerror or error}, expected the log of a performance; check "
            "the name"
        ) from error
    header: Header | None = None
    events: list[Event] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            if header is None:
                header = to_header(line)
            else:
                events.append(to_event(line, header.software))
        except PerformanceError as error:
            raise PerformanceError(f"{path}, line {number}: {error}") from error
    if header is None:
        raise PerformanceError(f"{path}: found no whole line, expected the log of a performance")
    last = events[-1] if events else None
    end = last if isinstance(last, End) else None
    if end is not None and end.fade_samples > _MOST_FADE_SECONDS * header.sample_rate:
        raise PerformanceError(f"{path}: found a fade of {end.fade_samples} samples, expected less")
    events = events[: len(events) - (end is not None)]
    blocks = [event.block for event in events if not isinstance(event, End)]
    if len(blocks) < len(events) or blocks != sorted(blocks):
        raise PerformanceError(
            f"{path}: found events out of order, expected them as they happened; the log is damaged"
        )
    return Log(header, tuple(events), end)


def performance_to_dict(performance: Performance) -> dict[str, Any]:
    """For the header of a log."""
    return {**asdict(performance), "quantize": performance.quantize.value}


def performance_of(header: Header) -> Performance:
    """How the music of a log is played.

    Raises
    ------
    PerformanceError
        If a value is missing, unknown or out of its range.
    """
    # Logs from before there were journeys do not name them.
    content = {"journey": False, **header.performance}
    if content.keys() != {field.name for field in fields(Performance)}:
        raise _unlike(header, f"the settings {', '.join(content)}")
    for name, (kinds, low, high) in _RANGES.items():
        value = content[name]
        if type(value) not in kinds or (value is not None and not low <= value <= high):
            raise _unlike(header, f"{name} {value!r}")
    if content["quantize"] not in list(Quantize):
        raise _unlike(header, f"quantize {content['quantize']!r}")
    for name in ("still", "journey"):
        if type(content[name]) is not bool:
            raise _unlike(header, f"{name} {content[name]!r}")
    return Performance(**{**content, "quantize": Quantize(content["quantize"])})


_SETTINGS = {"tempo": "tempo_bpm", "gain": "gain_db"}
_NUMBER = (int, float)
_RANGES: dict[str, tuple[tuple[type, ...], float, float]] = {
    "seed": ((int,), 0, float("inf")),
    "tempo_bpm": ((*_NUMBER, type(None)), LEAST_BPM, MOST_BPM),
    "tape": (_NUMBER, 0, 1),
    "gain_db": (_NUMBER, LEAST_DB, MOST_DB),
    "volume_limit_db": (_NUMBER, -60, 0),
    "glide_frames": ((int,), 0, 8),
    "block_frames": ((int,), 1, 64),
    "start_beat": (_NUMBER, 0, 1e12),
}


def _unlike(header: Header, found: str) -> PerformanceError:
    return PerformanceError(
        f"start: found {one_line(found, 200)}, expected what this version plays with; version "
        f"{one_line(header.software, 40)} wrote the log: render it with that version"
    )


class _RecordedVoice(Voice):
    """A voice whose bits come from a log, by its own frames."""

    def __init__(
        self, *args: Any, flips: deque[Flip], off: Collection[int], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._flips = flips
        self._off = off
        self._bits: Bits = ()

    def _sound(self, switch_states: Bits, n_frames: int) -> Samples:
        if self._flips and self._flips[0].frame <= self.n_frames:
            flip = self._flips.popleft()
            if flip.frame < self.n_frames:
                raise PerformanceError(
                    f"flip: found frame {flip.frame} of voice {flip.voice}, expected "
                    f"{self.n_frames} or later: the log does not fit the music"
                )
            bits = parse_bits(flip.bits, self.card.n_switches)
            self._bits = tuple(bit and i not in self._off for i, bit in enumerate(bits))
        return super()._sound(self._bits, n_frames)


@dataclass(frozen=True)
class _Shared:
    """A vocoder whose voice is no longer there."""

    vocoder: Vocoder


class Replay:
    """Plays a log again, in the blocks in which it was played.

    Parameters
    ----------
    open_network : callable
        Opens the network with a hash and a title.
    without : collection of int
        Switches that are off all the time, counted from 1.

    Attributes
    ----------
    network : Network
        Of the model at the start.
    n_failures_missing : int
        How often a model failed that does not fail here.
    """

    def __init__(
        self, log: Log, open_network: OpenNetwork, *, without: Collection[int] = ()
    ) -> None:
        self.n_failures_missing = 0
        self._log = log
        self._performance = performance_of(log.header)
        self._open_network = open_network
        self._off = {number - 1 for number in without}
        self._flips: dict[int, deque[Flip]] = defaultdict(deque)
        for event in log.events:
            if isinstance(event, Flip):
                self._flips[event.voice].append(event)
        self._pending = deque(event for event in log.events if not isinstance(event, Flip))
        # By number, those that later events name; a vocoder by that of its first voice.
        self._voices: dict[int, Voice] = {}
        self._vocoders: dict[int, Vocoder] = {}
        self._networks: WeakValueDictionary[str, Network] = WeakValueDictionary()
        self.network = network = self._network(log.header.digest, log.header.title)
        beyond = sorted(n for n in without if not 1 <= n <= network.card.n_switches)
        if beyond:
            raise PerformanceError(
                f"--without: found {beyond[0]}, expected a switch of 1 to {network.card.n_switches}"
            )
        voice = self._voice(None, network, after=None)
        self._keep(voice, 0, 0)
        self._switcher = VoiceSwitcher(voice)

    def blocks(self) -> Iterator[Samples]:
        """The blocks of samples as the speaker was given them; endless if the log has no end.

        Raises
        ------
        SwitchboardError
            If a model is missing, or the log does not fit the models.
        """
        end, n_blocks, n_samples = self._log.end, 0, 0
        while True:
            for silence in self._apply_events(n_blocks):
                yield silence
                n_samples += len(silence)
            if end is not None and n_blocks >= end.block:
                break
            samples = self._switcher.block(())
            yield samples
            n_blocks += 1
            n_samples += len(samples)
        # Less than the fade where it was interrupted.
        n_faded = 0

        def next_block() -> Samples:
            nonlocal n_blocks
            deque(self._apply_events(n_blocks))
            n_blocks += 1
            return self._switcher.block(())

        for samples in fade_out(next_block, end.fade_samples):
            yield samples[: max(end.sample - n_samples - n_faded, 0)]
            n_faded += len(samples)

    def _apply_events(self, n_blocks: int) -> Iterator[Samples]:
        """Do what happened before a block; yields the silence of its rests."""
        while self._pending and self._pending[0].block <= n_blocks:
            event = self._pending.popleft()
            match event:
                case Takeover():
                    self._schedule(event)
                case Setting(name=name, value=value):
                    low, high = _RANGES[_SETTINGS[name]][1:] if name in _SETTINGS else (1, 0)
                    if not (value is None and name == "tempo") and not low <= (value or 0) <= high:
                        raise PerformanceError(
                            f"setting: found {one_line(name, 40)} {value}, expected the tempo in "
                            "BPM or the gain in dB"
                        )
                    self._switcher.adjust(name, value)
                case Fade(level=level, n_samples=n_samples):
                    if level > 1:
                        raise PerformanceError(f"fade: found the level {level}, expected 0 to 1")
                    self._switcher.fade(level, n_samples)
                case Rest(n_samples=n_samples):
                    for at in range(0, n_samples, _REST_SAMPLES):
                        yield np.zeros(min(n_samples - at, _REST_SAMPLES), np.float32)
                case Quality(iterations=n, held_frames=held):
                    if held not in (1, 2) or n > INVERSION_PRESET.n_iterations:
                        raise PerformanceError(
                            f"quality: found {n} iterations and frames held for {held} hops, "
                            f"expected at most {INVERSION_PRESET.n_iterations} and 1 or 2"
                        )
                    self._switcher.set_quality(event.iterations, event.held_frames)
                case Failure():
                    self.n_failures_missing += self._switcher.voice.failure is None

    def _schedule(self, event: Takeover) -> None:
        voice = self._voices.get(event.voice)
        if voice is None:
            voice = self._following(event)
        self._keep(voice, event.voice, event.vocoder)
        self._switcher.schedule(voice, at_once=event.at_once)

    def _keep(self, voice: Voice, number: int, vocoder: int) -> None:
        """Remember a voice and its vocoder, and forget those that no later event names."""
        self._networks[voice.network.digest] = voice.network
        self._voices[number], self._vocoders[vocoder] = voice, voice.vocoder
        later = [event for event in self._pending if isinstance(event, Takeover)]
        needed = {event.voice for event in later}, {event.vocoder for event in later}
        self._voices = {n: voice for n, voice in self._voices.items() if n in needed[0]}
        self._vocoders = {n: vocoder for n, vocoder in self._vocoders.items() if n in needed[1]}

    def _following(self, event: Takeover) -> Voice:
        network = self._network(event.digest, event.title)
        if event.vocoder == event.voice:
            voice = self._voice(event, network, after=None)
            # The tape of a model that takes over starts at its beginning.
            voice.vocoder.tape.seek(0)
            return voice
        vocoder = self._vocoders.get(event.vocoder)
        if vocoder is None or vocoder.shape != shape_of(network.card):
            raise PerformanceError(
                f"takeover: found the vocoder of voice {event.vocoder}, expected one that model "
                f"{event.digest[:12]} fits; the log is damaged"
            )
        return self._voice(event, network, after=_Shared(vocoder))

    def _voice(self, event: Takeover | None, network: Network, after: HasVocoder | None) -> Voice:
        performance, number = self._performance, 0
        if event is not None:
            number = event.voice
            performance = replace(
                performance, tempo_bpm=event.tempo_bpm, gain_db=float(event.gain_db)
            )
        return _RecordedVoice(
            network,
            performance,
            sample_rate=self._log.header.sample_rate,
            after=after,
            flips=self._flips[number],
            off=self._off,
        )

    def _network(self, digest: str, title: str) -> Network:
        """The network of a model; opened once while a voice of it is known."""
        return self._networks.get(digest) or self._open_network(digest, title)

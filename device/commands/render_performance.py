"""A performance as a sound file, from its log."""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device.audio.encoded_file import open_recording_file
from device.audio.wav_file import WavSpeaker
from device.commands.build_recording import header_of
from device.console import say
from device.errors import PerformanceError
from device.model.network import Network, interrupt
from device.playback.model_selection import find_store, open_model_of_log
from device.playback.recording.replay import Log, Replay, performance_of, read_log
from device.system.outputs import check_output, is_standard_output
from device.system.termination import TerminationHandler

if TYPE_CHECKING:
    from device.playback.transition import Samples


@dataclass(frozen=True)
class Stretch:
    """Which part of a performance; None: from its start, to its end."""

    from_seconds: float | None
    seconds: float | None

    def samples_of(self, log: Log) -> tuple[int, int]:
        """The first sample, and the one after the last.

        Raises
        ------
        PerformanceError
            If the performance is shorter.
        """
        rate = log.header.sample_rate
        first, end = log.header.stretch or (0, log.n_samples)
        if self.from_seconds is not None:
            first, end = round(self.from_seconds * rate), max(end, log.n_samples)
        if self.seconds is not None:
            end = first + round(self.seconds * rate)
        if first >= end or (log.end is not None and first >= log.end.sample):
            raise PerformanceError(
                f"found {log.n_samples / rate:.1f} s up to the last event, expected more than "
                f"{first / rate:.1f} s; choose --from, and --seconds for one that was cut off"
            )
        return first, end if log.end is None else min(end, log.end.sample)


def render_performance(
    path: Path,
    out: Path,
    *,
    models: tuple[Path, ...],
    store: Path | None,
    stretch: Stretch,
    without: Collection[int],
) -> None:
    """Write what was played, or a part of it, and print how long it took.

    Raises
    ------
    SwitchboardError
        If the log, a model or the output is unusable.
    """
    log = read_log(path)
    first, end = stretch.samples_of(log)
    check_output(out)
    found_store = find_store(store)
    started = time.monotonic()
    with TerminationHandler(interrupt) as termination:
        replay = Replay(
            log,
            lambda digest, title: open_model_of_log(digest, title, models, found_store),
            without=without,
        )
        _say_what_differs(log, replay.network)
        with open_recording_file(out, log.header.sample_rate) as file:
            if isinstance(file, WavSpeaker):
                termination.add_save(file.end)
            n_samples = 0
            for samples in _part(replay.blocks(), first, end):
                termination.check()
                file.write(samples)
                n_samples += len(samples)
    if replay.n_failures_missing:
        say(
            "a model that failed while it was played does not fail here: the samples differ",
            err=True,
        )
    seconds, elapsed = n_samples / log.header.sample_rate, time.monotonic() - started
    rendered = end / log.header.sample_rate
    line = f"{out}: {seconds:.1f} s, {rendered / elapsed:.0f}x real time"
    say(line, err=is_standard_output(out))


def _part(blocks: "Iterator[Samples]", first: int, end: int) -> "Iterator[Samples]":
    """Samples `first` to `end` of a stream."""
    at = 0
    for samples in blocks:
        yield samples[max(first - at, 0) : max(end - at, 0)]
        at += len(samples)
        if at >= end:
            return


def _say_what_differs(log: Log, network: Network) -> None:
    """One line for each thing that may make other samples here than there."""
    here, there = header_of(network, performance_of(log.header)), log.header
    for what in ("kernel", "libraries", "machine", "software"):
        if getattr(here, what) != getattr(there, what):
            say(
                f"{what}: found {getattr(here, what)} here and {getattr(there, what)} in the log: "
                "the samples may differ from those that were played",
                err=True,
            )
    if log.end is None and there.stretch is None:
        say(
            "the log has no end, as after a power cut: rendered to its last event; --seconds goes "
            "on from there",
            err=True,
        )

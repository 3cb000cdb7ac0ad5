"""Builds what records a performance: its log, the last minutes, and what keeps them."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import BinaryIO

from device.commands.instrument_settings import InstrumentSettings
from device.model.network import Network
from device.playback.instrument import Instrument, Listener
from device.playback.recording.events import FORMAT, Header
from device.playback.recording.keeper import Keeper
from device.playback.recording.kept_folder import KeptFolder
from device.playback.recording.locations import default_kept_folder, state_folder
from device.playback.recording.performance_log import (
    LATER_SECONDS,
    PerformanceLog,
    open_log_file,
    open_next_log,
)
from device.playback.recording.recorder import Recorder
from device.playback.recording.replay import performance_to_dict
from device.playback.recording.ring import SampleRing
from device.switches.button import PinButton
from device.synthesis.implementation import describe_kernel
from device.synthesis.performance import Performance

Report = Callable[[str], None]


@dataclass(frozen=True)
class Recording:
    """The parts that record one performance; None each where it is not recorded."""

    recorder: Recorder | None
    log: PerformanceLog | None
    report: Report

    def keep(self) -> None:
        """Request that the last minutes are kept; from any thread."""
        if self.recorder is None or self.recorder.ring is None:
            self.report("nothing is kept: found --keep-minutes 0, expected more")
        else:
            self.recorder.keep()


def header_of(network: Network, performance: Performance) -> Header:
    """The header of a log that begins now, here."""
    return Header(
        format=FORMAT,
        software=version("lofi-switchboard"),
        kernel=describe_kernel().partition(" (")[0],
        libraries=", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "numpy")),
        machine=platform.machine(),
        started=round(time.time(), 3),
        sample_rate=network.card.sample_rate,
        digest=network.digest,
        title=network.card.title,
        performance=performance_to_dict(performance),
    )


@contextmanager
def open_recording(
    settings: InstrumentSettings, network: Network, report: Report
) -> Iterator[Recording]:
    """The recording of an instrument that is about to play.

    Raises
    ------
    OutputError
        If the log's file was named, and cannot be made.
    """
    path, folder = settings.performance_log, None if settings.standalone else state_folder()
    if path is None and folder is None and not settings.keep_minutes:
        yield Recording(None, None, report)
        return
    open_file: Callable[[], BinaryIO] | None = None
    if path is not None:
        # Now, so that it fails before the music.
        open_file = partial(next, iter([open_log_file(path)]))
    elif folder is not None:
        open_file = partial(open_next_log, folder / "performances")
    header = header_of(network, settings.performance)
    ring = None
    if settings.keep_minutes:
        ring = SampleRing(header.sample_rate, 60 * settings.keep_minutes)
    later_seconds = 0.0 if path else LATER_SECONDS
    with PerformanceLog(header, open_file, report, later_seconds=later_seconds) as log:
        yield Recording(Recorder(log, ring), log, report)


@contextmanager
def recording_listeners(
    settings: InstrumentSettings, recording: Recording, instrument: Instrument
) -> Iterator[list[Listener]]:
    """The listeners that keep the last minutes of an instrument, and the button for that."""
    recorder, log = recording.recorder, recording.log
    if settings.standalone or recorder is None or recorder.ring is None or log is None:
        yield []
        return
    folder = KeptFolder(settings.keep_folder or default_kept_folder())
    with ExitStack() as stack:
        keeper = Keeper(
            recorder, recorder.ring, log, lambda: instrument.voice.card, folder, recording.report
        )
        listeners: list[Listener] = [stack.enter_context(keeper)]
        if settings.keep_pin is not None:
            button = PinButton(settings.keep_pin, settings.wiring, recording.keep)
            listeners.append(stack.enter_context(button))
        yield listeners

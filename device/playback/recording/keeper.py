"""Keeps the last minutes at a player's request: sound, log, share code and model card."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO

from device.audio.wav_file import wav_header
from device.closeable import Closeable
from device.console import without_errors
from device.errors import SwitchboardError
from device.model.contract import ModelCard
from device.playback.recording import kept_folder
from device.playback.recording.events import to_line
from device.playback.recording.kept_folder import KeptFolder, name_of
from device.playback.recording.performance_log import PerformanceLog
from device.playback.recording.recorder import Recorder
from device.playback.recording.ring import Overwritten, SampleRing
from device.playback.share_code import position_of
from device.playback.state import InstrumentState
from device.system.threads import SupervisedThread

WAIT_SECONDS = 5.0
# Of the end of the process, which the service manager ends after 5 s.
CLOSE_SECONDS = 4.0

Report = Callable[[str], None]


@dataclass(frozen=True)
class _Moment:
    """When it was requested: everything that the audio loop knows then."""

    state: InstrumentState
    card: ModelCard
    first: int
    end: int
    wall_seconds: float


class Keeper(Closeable):
    """A listener of the instrument that has a helper thread write what is to be kept.

    Parameters
    ----------
    recorder : Recorder
        Takes the requests.
    ring : SampleRing
        The recorder's.
    card : callable
        The card of the model that is heard.
    report : callable
        Takes one line for the player: the folder, or why there is none.
    """

    def __init__(
        self,
        recorder: Recorder,
        ring: SampleRing,
        log: PerformanceLog,
        card: Callable[[], ModelCard],
        folder: KeptFolder,
        report: Report,
    ) -> None:
        self._recorder = recorder
        self._ring = ring
        self._log = log
        self._card = card
        self._folder = folder
        self._report = without_errors(report)
        self._is_busy = False
        self._moments: SimpleQueue[_Moment | None] = SimpleQueue()
        self._helper = SupervisedThread("keep", self._write_next)

    def __call__(self, state: InstrumentState) -> None:
        """Another block has been played."""
        if not self._recorder.take_request():
            return
        if self._is_busy:
            self._report("what was to be kept before is still being written; try again after that")
            return
        self._is_busy = True
        end = self._ring.settle()
        self._moments.put(_Moment(state, self._card(), self._ring.first_of(end), end, time.time()))

    def close(self) -> None:
        """Write what was requested, and end the thread; idempotent."""
        self._moments.put(None)
        self._helper.join(CLOSE_SECONDS)
        self._helper.end()

    def _write_next(self) -> None:
        moment: _Moment | None = None
        try:
            moment = self._moments.get(timeout=WAIT_SECONDS)
        except Empty:
            return
        if moment is None:
            self._helper.end()
            return
        try:
            self._report(self._keep(moment))
        except (SwitchboardError, Overwritten) as error:
            self._report(f"nothing was kept: {error}")
        finally:
            self._is_busy = False

    def _keep(self, moment: _Moment) -> str:
        n_samples = moment.end - moment.first
        header = replace(self._log.header, stretch=(moment.first, moment.end))
        log = to_line(header) + self._log.event_lines()
        about = _about(moment, self._ring.sample_rate)
        card = {name: v for name, v in asdict(moment.card).items() if name != "golden"}
        path = self._folder.add(
            name_of(
                time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(moment.wall_seconds)),
                moment.card.title,
            ),
            {
                kept_folder.SOUND: lambda file: self._write_sound(file, moment),
                kept_folder.PERFORMANCE: lambda file: _write(file, log),
                kept_folder.MODEL: lambda file: _write(file, _json(card)),
                kept_folder.ABOUT: lambda file: _write(file, _json(about)),
            },
            2 * n_samples + len(log) + len(_json(card)),
        )
        return f"kept {n_samples / self._ring.sample_rate:.1f} s in {path}"

    def _write_sound(self, file: BinaryIO, moment: _Moment) -> None:
        """A second at a time: the loop waits for no long copy, and nothing is held twice."""
        rate = self._ring.sample_rate
        file.write(wav_header(rate, 2 * (moment.end - moment.first)))
        for first in range(moment.first, moment.end, rate):
            pcm = self._ring.read(first, min(first + rate, moment.end))
            file.write(pcm.tobytes())


def _about(moment: _Moment, sample_rate: int) -> dict[str, Any]:
    position = None
    with suppress(SwitchboardError):
        position = position_of(moment.state)
    return {
        "title": moment.card.title,
        "sha256": moment.state.digest,
        "share_code": position.code if position else "",
        "bits": "".join("01"[bit] for bit in moment.state.sounding),
        "seconds": (moment.end - moment.first) / sample_rate,
        "from_seconds": moment.first / sample_rate,
        "kept": moment.wall_seconds,
    }


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode() + b"\n"

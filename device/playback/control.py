"""What commands do to a performance that plays: switches, tempo, volume, scenes, the end.

Everything here runs in the audio loop, between two blocks, and returns at once. What takes longer,
such as the next model, is left to a handler that passes it to a helper thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from device.playback.share_code import SharedPosition
from device.playback.voice_switcher import VoiceSwitcher
from device.switches.commands import (
    OF_A_HAND,
    ChangeTempo,
    ChangeVolume,
    Command,
    CommandQueue,
    FlipSwitch,
    Recall,
    SetSwitch,
    SetTempo,
    SetVolume,
    ShutDown,
)
from device.switches.remote import RemoteSwitches
from device.synthesis.performance import Performance
from device.system.threads import THREADS

# The ranges of --tempo and --gain.
LEAST_BPM, MOST_BPM = 20.0, 400.0
LEAST_DB, MOST_DB = -60.0, 12.0


@dataclass(frozen=True)
class Scene:
    """A share code with a name: its switches, tempo and model can be recalled while it plays."""

    name: str
    position: SharedPosition


class Control:
    """Applies queued commands to the performance that plays.

    Parameters
    ----------
    performance : Performance
        As it begins.
    end : callable
        Ends the music.

    Attributes
    ----------
    queue : CommandQueue
        Takes commands from any thread.
    performance : Performance
        As it is now, for the voices to come.
    remote : RemoteSwitches
        The panel, and what remote hands have flipped.
    scenes : sequence of Scene
        In the order in which `Recall` counts them.
    handlers : dict of type to callable
        Takes the commands of a kind: `Keep`, `NextModel`, those of the evening; without one they
        do nothing.
    on_hand : callable
        Called before a command that only a hand gives.
    play_model : callable or None
        Takes the first digits of a model's SHA-256 that a scene needs; returns at once.
    is_shut_down : bool
        Whether the device is to be switched off after the music.
    is_ending : callable
        Whether the button is pressed that shuts down once it was held long enough.
    """

    def __init__(
        self,
        performance: Performance,
        voices: VoiceSwitcher,
        remote: RemoteSwitches,
        end: Callable[[], None],
    ) -> None:
        self.queue = CommandQueue()
        self.performance = performance
        self.remote = remote
        self.scenes: Sequence[Scene] = ()
        self.handlers: dict[type[Command], Callable[[Any], object]] = {}
        self.on_hand: Callable[[], object] = bool
        self.play_model: Callable[[str], object] | None = None
        self.is_shut_down = False
        self.is_ending: Callable[[], bool] = bool
        self._voices = voices
        self._end = end

    @property
    def ends_soon(self) -> bool:
        """Whether the music ends, or will if the button stays pressed."""
        return self.is_shut_down or self.is_ending()

    def apply(self) -> None:
        """Do what is queued; of several tempos and volumes, the last."""
        before = self.performance
        while self.queue:
            command = self.queue.take()
            with THREADS.guard(f"command {type(command).__name__}"):
                if isinstance(command, OF_A_HAND):
                    self.on_hand()
                self._apply(command)
        if self.performance.tempo_bpm != before.tempo_bpm:
            self._voices.adjust("tempo", self.performance.tempo_bpm)
        if self.performance.gain_db != before.gain_db:
            self._voices.adjust("gain", self.performance.gain_db)

    def _apply(self, command: Command) -> None:
        match command:
            case FlipSwitch(index, source):
                self.remote.flip(index, source)
            case SetSwitch(index, on, source):
                self.remote.set(index, on, source)
            case SetTempo(bpm):
                self._set_tempo(bpm)
            case ChangeTempo(by_bpm):
                self._set_tempo(self._tempo_bpm + by_bpm)
            case SetVolume(gain_db):
                self._set_volume(gain_db)
            case ChangeVolume(by_db):
                self._set_volume(self.performance.gain_db + by_db)
            case Recall(scene, source):
                if 0 <= scene < len(self.scenes):
                    self._recall(self.scenes[scene].position, source)
            case ShutDown():
                self.is_shut_down = True
                self._end()
            case _ if type(command) in self.handlers:
                self.handlers[type(command)](command)

    @property
    def _tempo_bpm(self) -> float:
        return self.performance.tempo_bpm or self._voices.voice.card.tempo_bpm

    def _set_tempo(self, bpm: float) -> None:
        bpm = min(max(bpm, LEAST_BPM), MOST_BPM)
        self.performance = replace(self.performance, tempo_bpm=bpm)

    def _set_volume(self, gain_db: float) -> None:
        gain_db = min(max(gain_db, LEAST_DB), MOST_DB)
        self.performance = replace(self.performance, gain_db=gain_db)

    def _recall(self, position: SharedPosition, source: str) -> None:
        """The scene's switches and tempo now, its model at a bar line once it is loaded."""
        self.remote.set_all(position.bits, source)
        self.performance = replace(self.performance, tempo_bpm=position.tempo_bpm)
        is_other = not self._voices.voice.network.digest.startswith(position.digest)
        if is_other and self.play_model is not None:
            self.play_model(position.digest)

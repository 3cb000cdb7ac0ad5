"""Builds an instrument from its settings: the one place where its parts are put together."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import click
import numpy as np

from device.audio.open_speaker import open_speaker
from device.audio.speaker import Speaker
from device.audio.wav_file import WavSpeaker
from device.commands.build_recording import open_recording, recording_listeners
from device.commands.instrument_settings import InstrumentSettings
from device.commands.open_hands import open_hands
from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network, interrupt
from device.playback.beat_clock import BeatClock
from device.playback.instrument import Instrument, Listener
from device.playback.model_loader import ModelLoader
from device.playback.model_selection import (
    find_store,
    open_active_model,
    open_model_of_share_code,
    origin_of,
)
from device.playback.model_switcher import ModelSwitcher
from device.playback.recording.locations import default_kept_folder
from device.playback.recording.recorder import Recorder
from device.store.store import ModelStore
from device.switches.base import FixedSwitches, Switches
from device.switches.bits import format_bits, size_mismatch_warning
from device.switches.commands import NextModel
from device.switches.gpio import GpioSwitches
from device.switches.keyboard import KeyboardSwitches
from device.switches.script import demo_switches, load_script
from device.synthesis.implementation import describe_kernel
from device.synthesis.kernel.library import load_kernel
from device.system.account import is_root_elsewhere, switch_to_owner_of
from device.system.host import Host
from device.system.realtime import (
    RealtimeGuard,
    limit_free_memory,
    lock_memory,
    release_code,
    set_realtime_priority,
    trim_memory,
)
from device.system.termination import TerminationHandler
from device.system.threads import ThreadMonitor
from device.ui.control_socket import ControlSocket
from device.ui.display import Lines, QueuedDisplay, open_display
from device.ui.leds import StatusLeds
from device.ui.status_file import DEFAULT_STATUS, StatusFile
from device.ui.systemd import Heartbeat, SystemdNotifier, is_heard, status_line

Report = Callable[[str], None]


@contextmanager
def build_instrument(
    settings: InstrumentSettings,
    termination: TerminationHandler | None = None,
    *,
    make_switches: Callable[[int], Switches] | None = None,
    make_speaker: Callable[[int], Speaker] | None = None,
) -> Iterator[Instrument]:
    """Open all parts of an instrument, and close them in reverse order when the block ends.

    Parameters
    ----------
    settings : InstrumentSettings
    termination : TerminationHandler or None
        Receives what must be saved and closed before the process is ended by force; None: signals
        are not handled.
    make_switches : callable or None
        Makes the switches from the model's number of switches; None: as `settings` says.
    make_speaker : callable or None
        Makes the speaker from the model's sample rate in Hz; None: as `settings` says.

    Raises
    ------
    SwitchboardError
        If a part cannot be opened; those that were open are closed.
    Ended
        If a signal came meanwhile.
    click.BadParameter
        If `settings` names switches that do not exist.
    """
    termination = termination or TerminationHandler(interrupt)
    limit_free_memory()  # before the first model is opened
    with ExitStack() as stack:
        display = stack.enter_context(_open_display(settings))
        termination.add_cleanup(display.close)
        report = display.print_line
        store = _open_store(settings, report)
        network = _open_network(settings, store, report)
        if not settings.standalone and load_kernel().library is None:
            report(
                f"the sound is computed with {describe_kernel()}: it costs more, and is the same"
            )
        recording = stack.enter_context(open_recording(settings, network, report))
        if recording.log:
            termination.add_cleanup(recording.log.close)
        make_switches = make_switches or partial(_open_switches, settings, display, recording.keep)
        switches = stack.enter_context(make_switches(network.card.n_switches))
        if warning := size_mismatch_warning(switches.n_switches, network.card.n_switches):
            report(warning)
        make_speaker = make_speaker or partial(_open_speaker, settings, report)
        speaker = stack.enter_context(make_speaker(network.card.sample_rate))
        if isinstance(speaker, WavSpeaker):
            termination.add_save(speaker.end)
        termination.add_cleanup(switches.close)
        termination.check()
        listeners = stack.enter_context(_early_listeners(settings, display, switches, speaker))
        instrument = stack.enter_context(
            _open_instrument(settings, network, switches, speaker, listeners, recording.recorder)
        )
        instrument.listeners += stack.enter_context(
            recording_listeners(settings, recording, instrument)
        )
        instrument.listeners += stack.enter_context(
            _late_listeners(settings, instrument, store, termination, report)
        )
        instrument.listeners += stack.enter_context(open_hands(settings, instrument, report))
        if settings.control is not None and not settings.standalone:
            beats = BeatClock(speaker)
            control = _control_socket(settings.control, settings, instrument, beats)
            stack.enter_context(control)
            termination.add_cleanup(control.close)
            instrument.listeners += [beats, control]
        trim_memory()
        release_code()
        if settings.service:
            instrument.listeners += stack.enter_context(_run_as_service(speaker, report))
        termination.check()
        yield instrument


def _open_display(settings: InstrumentSettings) -> AbstractContextManager[QueuedDisplay]:
    if settings.standalone:
        return QueuedDisplay(Lines())
    return open_display(settings.switch_source, as_json=settings.as_json)


def _open_store(settings: InstrumentSettings, report: Report) -> ModelStore | None:
    """The store to play from, with the rights of the account that it belongs to."""
    if settings.standalone and settings.position is None:
        return None
    store = find_store(settings.store)
    if store is None or settings.standalone or settings.model is not None:
        return store
    if account := switch_to_owner_of(store.directory):
        report(f"continues as {account}, the account that {store.directory} belongs to")
    return store


def _open_network(
    settings: InstrumentSettings, store: ModelStore | None, report: Report
) -> Network:
    """The model of the share code, else the file, else the store's active one, else the bundled."""
    if settings.position is not None:
        return open_model_of_share_code(settings.position, settings.model, store)
    if store is None or settings.model is not None:
        return Network.open(settings.model or BUNDLED_MODEL)
    return open_active_model(store, report)


def _open_switches(
    settings: InstrumentSettings,
    display: QueuedDisplay,
    keep: Callable[[], None],
    n_switches: int,
) -> Switches:
    source, position = settings.switch_source, settings.position
    if source == "demo":
        return FixedSwitches(position.bits) if position else demo_switches(n_switches)
    if source == "keyboard":
        return KeyboardSwitches(
            n_switches,
            rng=np.random.default_rng(settings.performance.seed),
            print_share_code=display.print_share_code,
            keep=keep,
            # With none on, some models play next to nothing; keys have no state of their own.
            start=position.bits
            if position
            else tuple(2 * i < n_switches for i in range(n_switches)),
        )
    if position is not None:
        display.print_line(
            f"the switches take precedence; the share code has them at {format_bits(position.bits)}"
        )
    if source == "gpio":
        return GpioSwitches.of(settings.wiring, report=display.print_line)
    if source.startswith("script:"):
        return load_script(Path(source.removeprefix("script:")), n_switches)
    raise click.BadParameter(
        f"found {source!r}, expected auto, gpio, keyboard, demo or script:FILE",
        param_hint="--switches",
    )


def _open_speaker(settings: InstrumentSettings, report: Report, sample_rate: int) -> Speaker:
    return open_speaker(
        settings.speaker,
        sample_rate,
        live=settings.switch_source in ("gpio", "keyboard"),
        report=report,
        wait_for_device=settings.service,
    )


def _open_instrument(
    settings: InstrumentSettings,
    network: Network,
    switches: Switches,
    speaker: Speaker,
    listeners: list[Listener],
    recorder: Recorder | None,
) -> Instrument:
    return Instrument(
        network,
        switches,
        speaker,
        settings.performance,
        ahead=settings.ahead,
        listeners=listeners,
        governed=not (settings.standalone or isinstance(speaker, WavSpeaker)),
        recorder=recorder,
    )


@contextmanager
def _early_listeners(
    settings: InstrumentSettings, display: QueuedDisplay, switches: Switches, speaker: Speaker
) -> Iterator[list[Listener]]:
    """The listeners that need no instrument: display, thread faults, LEDs."""
    if settings.standalone:
        yield []
        return

    def is_faulty() -> bool:
        return not is_heard(speaker) or any(switches.chattering)

    with ExitStack() as stack:
        listeners: list[Listener] = [display.update, ThreadMonitor(display.print_line)]
        if leds := settings.wiring.leds:
            listeners.append(stack.enter_context(StatusLeds(leds, is_faulty)))
        yield listeners


@contextmanager
def _late_listeners(
    settings: InstrumentSettings,
    instrument: Instrument,
    store: ModelStore | None,
    termination: TerminationHandler,
    report: Report,
) -> Iterator[list[Listener]]:
    """The listeners that need the instrument or come after it: change of model, status file."""
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if store and not (settings.standalone or settings.model or settings.position):
            playing = instrument.voice.network.digest
            loader = ModelLoader(store, instrument.voice_of, playing=playing, report=report)
            instrument.control.handlers[NextModel] = lambda _: loader.activate_next()
            instrument.control.play_model = loader.activate
            listeners.append(stack.enter_context(ModelSwitcher(instrument.voice_switcher, loader)))
        path = None if settings.standalone else _status_path(settings)
        if path is not None:
            file = stack.enter_context(_status_file(path, store))
            termination.add_cleanup(file.close)
            listeners.append(file)
        yield listeners


@contextmanager
def _run_as_service(speaker: Speaker, report: Report) -> Iterator[list[Listener]]:
    """Give this thread real-time priority; yield listeners that notify systemd and watch that."""
    with SystemdNotifier.of(os.environ) as manager:
        lock_memory(report)
        set_realtime_priority(report)
        yield [Heartbeat(manager, lambda state: status_line(state, speaker)), RealtimeGuard(report)]
        manager.notify("STOPPING=1")


def _status_file(path: Path, store: ModelStore | None) -> StatusFile:
    return StatusFile(
        path,
        origin=lambda digest: origin_of(digest, store),
        last_refusal=store.last_refusal if store else lambda: None,
        degrees=Host().degrees,
    )


def _control_socket(
    path: Path, settings: InstrumentSettings, instrument: Instrument, beats: BeatClock
) -> ControlSocket:
    kept = (settings.keep_folder or default_kept_folder()) if settings.keep_minutes else None
    store = find_store(settings.store)
    return ControlSocket(
        path,
        instrument.control.queue,
        card=lambda: instrument.voice.card,
        origin=lambda digest: origin_of(digest, store),
        beats=beats,
        scenes=[scene.name for scene in instrument.control.scenes],
        kept=kept and kept.absolute(),
    )


def _status_path(settings: InstrumentSettings) -> Path | None:
    """The file of the settings, else the default one where this user may write in its folder."""
    folder = DEFAULT_STATUS.parent
    if settings.status is None and os.access(folder, os.W_OK) and not is_root_elsewhere(folder):
        return DEFAULT_STATUS
    return settings.status

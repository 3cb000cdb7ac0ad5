"""`switchboard play`: the instrument itself."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device import console
from device.commands import options
from device.commands.number_types import Finite
from device.config import find_settings, load_settings
from device.switches.pinout import DEFAULT_PINS
from device.system.outputs import is_standard_output

if TYPE_CHECKING:
    from device.model.network import Network
    from device.playback.share_code import SharedPosition
    from device.system.termination import TerminationHandler
    from device.ui.display import Display


def _apply_config(
    ctx: click.Context, _parameter: click.Parameter, path: Path | None
) -> Path | None:
    path = path or find_settings()
    if path is not None:
        ctx.default_map = {**load_settings(path, ctx.command), **(ctx.default_map or {})}
    return path


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    is_eager=True,
    callback=_apply_config,
    help="TOML file whose keys are these options.  [default: ./switchboard.toml, then "
    "/etc/switchboard/switchboard.toml]",
)
@options.model
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder of the models pushed to this box: plays the active one, and takes over the next. "
    "--model does without.  [default: /var/lib/switchboard/models on a box]",
)
@click.option(
    "--switches",
    default="auto",
    show_default=True,
    metavar="auto|gpio|keyboard|demo|script:FILE",
    help="auto: the keyboard in a terminal, else 20 s of demo. A script has lines: seconds bits.",
)
@click.option(
    "--pins",
    type=int,
    multiple=True,
    default=DEFAULT_PINS,
    show_default=True,
    help="BCM numbers of the switches' pins, one option each; closed to ground is on.",
)
@click.option("--active-high", is_flag=True, help="Closed to 3.3 V is on, not closed to ground.")
@click.option(
    "--pull",
    type=click.Choice(["inside", "outside"]),
    default="inside",
    show_default=True,
    help="Where the resistor is that holds an open switch's pin: in the Pi, or on your board.",
)
@click.option("--led-playing", type=int, help="BCM number of a lamp that says: it plays.")
@click.option("--led-fault", type=int, help="BCM number of a lamp that says: something is wrong.")
@click.option("--led-beat", type=int, help="BCM number of a lamp that flashes with the beat.")
@click.option(
    "--speaker",
    default="auto",
    show_default=True,
    metavar="auto|card|NAME|list|wav:FILE|silent",
    help="auto: the default card, else performance.wav. NAME: part of a card's name; `list` prints "
    "the names.",
)
@click.option("--seconds", type=Finite(min=0.1), help="Stop after so long.  [default: never]")
@click.option(
    "--status",
    type=click.Path(path_type=Path),
    help="File for `switchboard status`, written once a second.  [default: "
    "/run/switchboard/status.json on a box]",
)
@options.share
@click.option(
    "--service",
    is_flag=True,
    help="As the system's service: switches on pins, wait for a card that is not there, tell "
    "systemd how it goes, run at real-time priority.",
)
@options.music
@options.volume_limit
@options.quantize
@options.as_json
def play(
    config: Path | None,
    model: Path | None,
    store: Path | None,
    switches: str,
    pins: tuple[int, ...],
    active_high: bool,
    pull: str,
    led_playing: int | None,
    led_fault: int | None,
    led_beat: int | None,
    speaker: str,
    seconds: float | None,
    status: Path | None,
    place: "SharedPosition | None",
    service: bool,
    seed: int,
    tempo: float | None,
    still: bool,
    tape: float,
    gain: float,
    volume_limit: float,
    quantize: str,
    as_json: bool,
) -> None:
    """Play, live and endless, until Ctrl-C."""
    del config  # its values have become the other options' defaults
    if speaker == "list":
        _list_speakers()
        return
    options.check_not_said_twice(place)
    from device.audio.open_speaker import open_speaker
    from device.audio.wav_file import WavSpeaker
    from device.model.network import interrupt
    from device.playback.instrument import Instrument, Listener
    from device.playback.model_loader import ModelLoader
    from device.playback.model_switcher import ModelSwitcher
    from device.switches.bits import size_mismatch_warning
    from device.synthesis.performance import Performance
    from device.synthesis.transport import Quantize
    from device.system.termination import TerminationHandler
    from device.system.threads import ThreadMonitor
    from device.ui.display import open_display

    performance = Performance(
        seed=seed,
        tempo_bpm=tempo,
        still=still,
        tape=tape,
        gain_db=gain,
        volume_limit_db=volume_limit,
        quantize=Quantize(quantize),
    )
    with TerminationHandler(interrupt) as ending, ExitStack() as stack:
        kind = "gpio" if service and switches == "auto" else _kind(switches)
        # Whoever wants to know how it goes: each is told once a block (see Instrument).
        display = stack.enter_context(open_display(kind, as_json=as_json))
        ending.add_cleanup(display.close)
        say, listeners = display.say, list[Listener]([display.show, ThreadMonitor(display.say)])
        models = _open_store(store, model, say)
        network = _open_network(place, model, models, say)
        performance = place.applied_to(performance) if place is not None else performance
        panel = Wiring(pins, active_high=active_high, pulled_outside=pull == "outside")
        n_switches = network.card.n_switches
        bank = stack.enter_context(
            _open_switches(kind, panel, n_switches, performance.seed, display, place)
        )
        if warning := size_mismatch_warning(bank.n_switches, n_switches):
            say(warning)
        live = kind in ("gpio", "keyboard")
        sink = stack.enter_context(
            open_speaker(
                speaker, network.card.sample_rate, live=live, report=say, wait_for_device=service
            )
        )
        _know(ending, bank, sink)
        lamps = {"playing": led_playing, "fault": led_fault, "beat": led_beat}
        listeners += stack.enter_context(_lamps(lamps, sink, bank))
        if service:
            listeners += stack.enter_context(_serving(sink, say))
        instrument = stack.enter_context(
            Instrument(
                network,
                bank,
                sink,
                performance,
                ahead=True,
                listeners=listeners,
                governed=not isinstance(sink, WavSpeaker),
            )
        )
        listeners = instrument.listeners
        if models and model is None and place is None:
            loader = ModelLoader(models, instrument.voice_of, playing=network.digest, report=say)
            listeners.append(stack.enter_context(ModelSwitcher(instrument.voice_switcher, loader)))
        listeners += stack.enter_context(_status_file(status, models, ending))
        ending.check()
        with ending.stopping(instrument.stop.set, status=0):
            report = instrument.play(seconds if service else _duration(kind, seconds))
        name = sink.name
    facts = {**report.to_dict(), "speaker": name, "switches": kind}
    _tell(facts, as_json=as_json)


def _open_store(store: Path | None, model: Path | None, say: Callable[[str], None]) -> Any:
    """The store to play from, with no more rights than its account has."""
    from device.playback.model_selection import find_store
    from device.system.account import switch_to_owner_of

    models = find_store(store)
    if models and model is None and (account := switch_to_owner_of(models.directory)):
        say(f"goes on as {account}, the account that {models.directory} belongs to")
    return models


def _kind(switches: str) -> str:
    if switches == "auto":
        return "keyboard" if sys.stdin is not None and sys.stdin.isatty() else "demo"
    return switches


def _duration(kind: str, seconds: float | None) -> float | None:
    from device.switches.script import DEMO_SECONDS

    return DEMO_SECONDS if kind == "demo" and seconds is None else seconds


def _open_network(
    place: "SharedPosition | None", model: Path | None, models: Any, say: Callable[[str], None]
) -> "Network":
    """The model a share code names, or the file, or what the store has active, or the bundled."""
    from device.model.network import BUNDLED_MODEL, Network
    from device.playback.model_selection import open_active_model, open_model_of_share_code

    if place is not None:
        return open_model_of_share_code(place, model, models)
    if models is None or model is not None:
        return Network.open(model or BUNDLED_MODEL)
    return open_active_model(models, say)


@dataclass(frozen=True)
class Wiring:
    """How the switches are connected to the pins (BCM numbers)."""

    pins: tuple[int, ...]
    active_high: bool
    pulled_outside: bool


def _open_switches(
    kind: str,
    wiring: Wiring,
    n_switches: int,
    seed: int,
    display: "Display",
    place: "SharedPosition | None",
) -> Any:
    import numpy as np

    from device.switches.base import FixedSwitches
    from device.switches.bits import format_bits
    from device.switches.script import demo_switches, load_script

    if kind == "demo":
        return FixedSwitches(place.bits) if place else demo_switches(n_switches)
    if kind == "keyboard":
        from device.switches.keyboard import KeyboardSwitches

        rng, start = np.random.default_rng(seed), place.bits if place else None
        return KeyboardSwitches(n_switches, rng=rng, tell=display.tell, start=start)
    if place is not None:
        display.say(f"the panel decides; the share code has it at {format_bits(place.bits)}")
    if kind == "gpio":
        from device.switches.gpio import GpioSwitches

        return GpioSwitches(
            wiring.pins,
            report=display.say,
            active_high=wiring.active_high,
            pulled_outside=wiring.pulled_outside,
        )
    if kind.startswith("script:"):
        return load_script(Path(kind.removeprefix("script:")), n_switches)
    raise click.BadParameter(
        f"found {kind!r}, expected auto, gpio, keyboard, demo or script:FILE",
        param_hint="--switches",
    )


def _know(ending: "TerminationHandler", bank: Any, sink: Any) -> None:
    """What is to be done before the process is ended by force."""
    from device.audio.wav_file import WavSpeaker

    if isinstance(sink, WavSpeaker):
        ending.add_save(sink.end)
    ending.add_cleanup(bank.close)
    ending.check()


def _list_speakers() -> None:
    from device.audio.sound_card import list_cards

    console.say(*(list_cards() or ["no card at all: look with `aplay -l`"]))


@contextmanager
def _lamps(pins: dict[str, int | None], sink: Any, bank: Any) -> Iterator[list[Any]]:
    """A listener for the lamps there are."""
    wired = {name: pin for name, pin in pins.items() if pin is not None}
    if not wired:
        yield []
        return
    from device.ui.leds import StatusLeds
    from device.ui.systemd import is_heard

    with StatusLeds(wired, lambda: not is_heard(sink) or any(bank.chattering)) as lamps:
        yield [lamps]


@contextmanager
def _serving(sink: Any, say: Callable[[str], None]) -> Iterator[list[Any]]:
    """Listeners that keep the service manager informed, at the audio loop's own priority."""
    from device.system.realtime import RealtimeGuard, lock_memory, set_realtime_priority
    from device.ui.systemd import Heartbeat, SystemdNotifier, status_line

    with SystemdNotifier.of(os.environ) as manager:
        lock_memory(say)
        set_realtime_priority(say)
        yield [Heartbeat(manager, lambda state: status_line(state, sink)), RealtimeGuard(say)]
        manager.tell("STOPPING=1")


@contextmanager
def _status_file(
    path: Path | None, store: Any, ending: "TerminationHandler"
) -> Iterator[list[Any]]:
    """A listener that writes the status file where one is wanted."""
    from device.system.account import is_root_elsewhere
    from device.ui.status_file import DEFAULT_STATUS, StatusFile

    folder = DEFAULT_STATUS.parent
    if path is None and os.access(folder, os.W_OK) and not is_root_elsewhere(folder):
        path = DEFAULT_STATUS
    if path is None:
        yield []
        return
    from device.playback.model_selection import origin_of
    from device.system.host import Host

    with StatusFile(
        path,
        origin=lambda digest: origin_of(digest, store),
        last_refusal=store.last_refusal if store else lambda: None,
        degrees=Host().degrees,
    ) as file:
        ending.add_cleanup(file.close)
        yield [file]


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        console.say_json(facts)
    else:
        # Behind a recording that went to standard output it would be taken for sound.
        console.say(_summary(facts), err=is_standard_output(Path(facts["speaker"])))


def _summary(facts: dict[str, Any]) -> str:
    flips = f"{facts['n_flips']} flips"
    if facts["switch_to_sample_p99_ms"] is not None:
        flips += (
            f", switch to first sample p50 {facts['switch_to_sample_p50_ms']:.1f} ms, "
            f"p99 {facts['switch_to_sample_p99_ms']:.1f} ms"
        )
    return (
        f"{facts['seconds']:.1f} s played on {facts['speaker']}; {flips}; "
        f"{facts['underruns']} underruns, {facts['missed_deadlines']} late blocks"
    )

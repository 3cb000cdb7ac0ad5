"""`switchboard play`: the instrument itself."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from device.commands import options
from device.settings import find_settings, load_settings
from device.state import InstrumentState

DEFAULT_PINS = (5, 6, 13, 19, 26, 16, 20, 21)


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
@click.option(
    "--speaker",
    default="auto",
    show_default=True,
    metavar="auto|NAME|wav:FILE|silent",
    help="auto: the default card, else performance.wav. NAME: part of a card's name.",
)
@click.option(
    "--seconds", type=options.Finite(min=0.1), help="Stop after so long.  [default: never]"
)
@options.music
@options.quantize
@options.as_json
def play(
    config: Path | None,
    model: Path | None,
    switches: str,
    pins: tuple[int, ...],
    speaker: str,
    seconds: float | None,
    seed: int,
    tempo: float | None,
    still: bool,
    patina: float,
    gain: float,
    quantize: str,
    as_json: bool,
) -> None:
    """Play, live and endless, until Ctrl-C."""
    del config  # its values have become the other options' defaults
    from device.instrument import Instrument, Listener
    from device.network import BUNDLED_MODEL, Network
    from device.transport import Quantize
    from device.voice import Performance

    performance = Performance(
        seed=seed,
        tempo_bpm=tempo,
        still=still,
        patina=patina,
        gain_db=gain,
        quantize=Quantize(quantize),
    )
    with ExitStack() as stack:
        network = Network.open(model or BUNDLED_MODEL)
        kind = _kind(switches)
        # Whoever wants to know how it goes: each is told once a block (see Instrument).
        listeners: list[Listener] = []
        show, say = stack.enter_context(_display(kind, as_json=as_json))
        if show is not None:
            listeners.append(show)
        bank = stack.enter_context(_open_switches(kind, pins, network.card.n_switches, seed, say))
        live = kind in ("gpio", "keyboard")
        sink = stack.enter_context(_open_speaker(speaker, network.card.sample_rate, live, say))
        instrument = stack.enter_context(
            Instrument(network, bank, sink, performance, ahead=True, listeners=listeners)
        )
        stack.enter_context(_stopped_by_signals(instrument.stop.set))
        report = instrument.play(_duration(kind, seconds))
        name = sink.name
    facts = {**report.to_dict(), "speaker": name, "switches": kind}
    click.echo(json.dumps(facts) if as_json else _summary(facts))


def _kind(switches: str) -> str:
    if switches == "auto":
        return "keyboard" if sys.stdin is not None and sys.stdin.isatty() else "demo"
    return switches


def _duration(kind: str, seconds: float | None) -> float | None:
    from device.switches import DEMO_SECONDS

    return DEMO_SECONDS if kind == "demo" and seconds is None else seconds


def _open_switches(
    kind: str, pins: tuple[int, ...], n_switches: int, seed: int, say: Callable[[str], None]
) -> Any:
    import numpy as np

    from device.switches import demo_switches, load_script

    if kind == "demo":
        return demo_switches(n_switches)
    if kind == "keyboard":
        from device.keyboard import KeyboardSwitches

        return KeyboardSwitches(n_switches, rng=np.random.default_rng(seed), report=say)
    if kind == "gpio":
        from device.gpio import GpioSwitches

        return GpioSwitches(pins)
    if kind.startswith("script:"):
        return load_script(Path(kind.removeprefix("script:")), n_switches)
    raise click.BadParameter(
        f"found {kind!r}, expected auto, gpio, keyboard, demo or script:FILE",
        param_hint="--switches",
    )


def _open_speaker(spec: str, sample_rate: int, live: bool, say: Callable[[str], None]) -> Any:
    from device.speakers import open_speaker

    return open_speaker(spec, sample_rate, live=live, report=say)


Show = Callable[[InstrumentState], None]


@contextmanager
def _display(kind: str, *, as_json: bool) -> Iterator[tuple[Show | None, Callable[[str], None]]]:
    """The live panel where somebody can see it; otherwise plain lines."""
    if kind == "keyboard" and sys.stdout.isatty() and not as_json:
        from device.panel import Panel

        with Panel() as panel:
            yield panel.show, panel.say
    else:
        yield None, lambda line: click.echo(line, err=True)


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the music cleanly instead of anywhere."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda *_: stop()) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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

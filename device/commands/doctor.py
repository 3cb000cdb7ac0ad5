"""`switchboard doctor`: checks everything the instrument needs, and names remedies."""

import os
import platform
import sys
from contextlib import suppress
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from device.commands import options
from device.commands.checks import BAD, GOOD, NOTE, UNIT, Finding, all_findings
from device.commands.instrument_settings import InstrumentSettings
from device.commands.number_types import Finite
from device.config import find_settings
from device.console import say, say_json
from device.errors import SettingsError, SwitchboardError, SwitchesUnavailable
from device.plain_text import MOST_IN_LINE, one_line
from device.store.store import DEFAULT_STORE, ModelStore
from device.switches.wiring import Wiring
from device.switches.wiring_diagram import diagram
from device.system.host import Host
from device.system.outputs import is_standard_output, written
from device.system.package_owners import PACKAGES, REMEDY, foreign_owners

if TYPE_CHECKING:
    from device.switches.gpio import GpioSwitches

_PYTHONS = ((3, 11), (3, 14))
_PACKAGES = ("numpy", "onnxruntime", "sounddevice", "gpiozero", "soxr", "click", "rich")
_REINSTALL = "train and export one, or reinstall"


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file.  [default: as `play` finds it]",
)
@options.model
@click.option("--pins", is_flag=True, help="Show every switch, knob and button live.")
@click.option(
    "--midi", is_flag=True, help="Print what arrives on the MIDI ports, and the map for the file."
)
@click.option(
    "--seconds", type=Finite(min=0.1), help="With --pins or --midi: seconds to watch.  [no limit]"
)
@click.option(
    "--wiring",
    type=click.Path(path_type=Path),
    help="Draw the wiring as configured into this SVG file, and print its table.",
)
@options.as_json
def doctor(
    config: Path | None,
    model: Path | None,
    pins: bool,
    midi: bool,
    seconds: float | None,
    wiring: Path | None,
    as_json: bool,
) -> int:
    """Check everything the instrument needs; exit status 1 if it could not play."""
    settings, _ = _settings(config)
    if wiring is not None:
        return _draw(_labelled(settings.wiring, model), wiring, as_json=as_json)
    if pins:
        return _watch_pins(_labelled(settings.wiring, model), seconds, as_json=as_json)
    if midi:
        from device.commands.midi_learn import learn

        return learn(settings, seconds, as_json=as_json)
    findings = findings_of(config, model, Host())
    _print(findings, as_json=as_json)
    return int(any(finding.verdict == BAD for finding in findings))


def findings_of(config: Path | None, model: Path | None, host: Host) -> list[Finding]:
    """All findings, in the order in which they are printed; parameters as the verb's options."""
    settings, configuration = _settings(config)
    store = ModelStore(settings.store or DEFAULT_STORE)
    return [
        _python(),
        _packages(),
        _kernel(),
        configuration,
        _owners(),
        *all_findings(host, settings.wiring),
        _portaudio(),
        _cards(settings.speaker),
        _pins(settings.wiring, host),
        _model(model or settings.model or store.active()),
    ]


def _settings(config: Path | None) -> tuple[InstrumentSettings, Finding]:
    """The settings of `play` here, or its defaults where they cannot be read; and the finding."""
    path, what = config or find_settings(), "configuration"
    try:
        settings = _as_played(path)
    except SettingsError as error:
        remedy = f"correct it; then: sudo systemctl restart {UNIT}"
        return _as_played(None), Finding(what, BAD, str(error), remedy)
    return settings, Finding(what, GOOD, str(path) if path else "none; the defaults")


def _as_played(config: Path | None) -> InstrumentSettings:
    from device.commands.play import play

    parameters = play.make_context("play", ["--config", str(config or os.devnull)]).params
    names = {field.name for field in fields(InstrumentSettings)}
    return InstrumentSettings(**{k: v for k, v in parameters.items() if k in names})


def _labelled(wiring: Wiring, model: Path | None) -> Wiring:
    from device.model.bundled import BUNDLED_MODEL
    from device.model.network import Network

    # A model that does not open is a finding of its own.
    with suppress(SwitchboardError):
        return replace(wiring, labels=Network.open(model or BUNDLED_MODEL).card.switch_labels)
    return wiring


def _draw(wiring: Wiring, path: Path, *, as_json: bool) -> int:
    if problems := wiring.problems():
        raise SettingsError(
            f"wiring: found that {'; '.join(problems)}; correct `pins`, `keep_pin` and `led_…`"
        )
    with written(path) as file:
        file.write(diagram(wiring).encode())
    rows = wiring.rows()
    if as_json:
        say_json(rows)
    else:
        lines = [
            f"{part:32} BCM {pin:>2}   header pin {place:>2}   to {end}"
            if pin.isdecimal()
            else f"{part:32} {pin:8} {place:12}   to {end}"
            for part, pin, place, end in rows
        ]
        say(*lines, f"drawn: {path}", err=is_standard_output(path))
    return 0


def _watch_pins(wiring: Wiring, seconds: float | None, *, as_json: bool) -> int:
    from rich.console import Console
    from rich.live import Live

    from device.switches.pin_monitor import Watch, table, watch

    pins = (*wiring.pins, *wiring.contacts.values())
    labels = [wiring.label(i) for i in range(len(wiring.pins))] + list(wiring.contacts)
    with (
        _open_pins(wiring) as switches,
        _open_pins(Wiring(tuple(wiring.contacts.values()))) as parts,
        Live(console=Console(quiet=as_json)) as live,
    ):
        rows: list[dict[str, Any]] = []

        def show(contacts: Watch) -> None:
            rows[:] = contacts.rows(pins, labels)
            live.update(table(rows))

        with suppress(KeyboardInterrupt):
            show(
                watch(lambda: switches.levels() + parts.levels(), show, len(pins), seconds=seconds)
            )
    if as_json:
        say_json(rows)
    return 0


def _open_pins(wiring: Wiring) -> "GpioSwitches":
    from device.switches.gpio import GpioSwitches

    if _is_playing(Host()):
        raise SwitchesUnavailable(
            f"pins: found the running service holding them, expected them free: "
            f"sudo systemctl stop {UNIT}, and start it again afterwards"
        )
    return GpioSwitches.of(wiring)


def _is_playing(host: Host) -> bool:
    return host.unit(UNIT, "ActiveState").get("ActiveState") == "active"


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        say_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        remedy = [f"      {finding.remedy}"] if finding.remedy else []
        say(
            f"{finding.verdict:4}  {finding.what}: {one_line(finding.found, MOST_IN_LINE)}", *remedy
        )


def _python() -> Finding:
    low, high = _PYTHONS
    system = f"{platform.python_version()} on {platform.machine()}, {sys.platform}"
    if low <= sys.version_info[:2] < high:
        return Finding("Python", GOOD, system)
    return Finding("Python", BAD, system, "install Python 3.11 to 3.13 and set up again")


def _packages() -> Finding:
    installed, missing = [], []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        return Finding("packages", BAD, f"no {', '.join(missing)}", remedy)
    return Finding("packages", GOOD, ", ".join(installed))


def _kernel() -> Finding:
    """Which implementation computes the sound, and whether it does so as on every processor."""
    from device.synthesis.implementation import describe_kernel
    from device.synthesis.kernel.fingerprint import deviating_sizes
    from device.synthesis.kernel.library import load_kernel

    library = load_kernel().library
    if library is None:
        remedy = "install a C compiler and install again; numpy takes three to four times as long"
        return Finding("kernel", NOTE, describe_kernel(), remedy)
    if sizes := deviating_sizes(library):
        found = f"other samples than on other processors, for windows of {sizes}"
        return Finding("kernel", BAD, found, "install the wheel for this processor")
    return Finding("kernel", GOOD, "compiled; the samples are those of every processor")


def _owners() -> Finding:
    """Whether other distributions have packages of the same names."""
    what = "package names"
    if owners := foreign_owners():
        found = "; ".join(f"{package} also belongs to {owners[package]}" for package in owners)
        return Finding(what, NOTE, found, REMEDY)
    return Finding(what, GOOD, f"{', '.join(PACKAGES)} are lofi-switchboard's alone")


def _portaudio() -> Finding:
    from device.audio.port_audio import portaudio_problem

    problem = portaudio_problem()
    if problem is None:
        return Finding("PortAudio", GOOD, "loads")
    remedy = "sudo apt install libportaudio2; until then it records to performance.wav"
    return Finding("PortAudio", NOTE, problem, remedy)


def _cards(speaker: str) -> Finding:
    from device.audio.port_audio import list_cards, portaudio_problem

    cards = [] if portaudio_problem() else list_cards()
    if not cards:
        remedy = "plug one in and look with `aplay -l`; a service waits for it, unheard"
        return Finding("sound cards", NOTE, "none", remedy)
    names = "; ".join(cards)
    is_no_name = speaker in ("auto", "card", "silent") or speaker.startswith("wav:")
    if is_no_name or any(speaker.lower() in card.lower() for card in cards):
        return Finding("sound cards", GOOD, names)
    remedy = "take a part of one of these names as `speaker` in switchboard.toml"
    return Finding("sound cards", NOTE, f"none with {speaker!r} in its name: {names}", remedy)


def _pins(wiring: Wiring, host: Host) -> Finding:
    if not list(host.path("/dev").glob("gpiochip*")):
        return Finding("pins", NOTE, "no /dev/gpiochip*; the keyboard works in a terminal")
    if _is_playing(host):
        return Finding("pins", GOOD, "held by the running service")
    from device.switches.pinout import describe

    try:
        with _open_pins(wiring) as switches:
            levels = switches.levels()
    except SwitchboardError as error:
        is_refused = isinstance(error.__cause__, PermissionError)
        remedy = "sudo usermod -aG gpio $USER, then log in again" if is_refused else ""
        return Finding("pins", NOTE, str(error), remedy)
    closed = [f"{i + 1} ({describe(wiring.pins[i])})" for i, level in enumerate(levels) if level]
    if not closed:
        return Finding("pins", GOOD, "every switch is open")
    remedy = "on, or wired so permanently? switchboard doctor --pins shows it while you flip them"
    return Finding("pins", GOOD, f"closed: switch {', '.join(closed)}", remedy)


def _model(path: Path | None) -> Finding:
    from device.model.bundled import BUNDLED_MODEL
    from device.model.network import Network

    path = path or BUNDLED_MODEL
    try:
        card = Network.open(path).card
    except SwitchboardError as error:
        return Finding("model", BAD, str(error), _REINSTALL)
    summary = (
        f"{card.title!r} ({path.name}, {path.stat().st_size / 2**20:.1f} MiB): "
        f"{card.n_switches} switches, {card.sample_rate} Hz, window {card.n_fft} ({card.window}), "
        f"golden vector as exported"
    )
    return Finding("model", GOOD, summary)

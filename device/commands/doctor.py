"""`switchboard doctor`: what is there, what is missing, what to do."""

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from device.commands import options
from device.errors import SwitchboardError
from device.header import DEFAULT_PINS

GOOD, NOTE, BAD = "good", "note", "bad"
_PYTHONS = ((3, 11), (3, 14))
_PACKAGES = ("numpy", "onnxruntime", "sounddevice", "gpiozero", "soxr", "click", "rich")
_DEFAULT_CHIP = Path("/dev/gpiochip0")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    verdict : str
        `GOOD`; `NOTE`, the instrument plays without it; `BAD`, it does not play.
    found : str
    remedy : str
        What mends it; empty where nothing needs mending.
    """

    what: str
    verdict: str
    found: str
    remedy: str = ""


@click.command()
@options.model
@click.option(
    "--pins", type=int, multiple=True, default=DEFAULT_PINS, show_default=True, help="BCM numbers."
)
@options.as_json
def doctor(model: Path | None, pins: tuple[int, ...], as_json: bool) -> int:
    """Look for everything the instrument needs; exit status 1 if it could not play."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _packages,
        _portaudio,
        _cards,
        lambda: _pins(pins),
        lambda: _model(model),
    ]
    findings = [check() for check in checks]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            remedy = f"\n      {finding.remedy}" if finding.remedy else ""
            click.echo(f"{finding.verdict:4}  {finding.what}: {finding.found}{remedy}")
    return int(any(finding.verdict == BAD for finding in findings))


def _python() -> Finding:
    low, high = _PYTHONS
    found = f"{platform.python_version()} on {platform.machine()}, {sys.platform}"
    if low <= sys.version_info[:2] < high:
        return Finding("Python", GOOD, found)
    return Finding("Python", BAD, found, "install Python 3.11 to 3.13 and set up again")


def _packages() -> Finding:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        return Finding("packages", BAD, f"no {', '.join(missing)}", remedy)
    return Finding("packages", GOOD, ", ".join(found))


def _portaudio() -> Finding:
    from device.card import portaudio_problem

    problem = portaudio_problem()
    if problem is None:
        return Finding("PortAudio", GOOD, "loads")
    remedy = "sudo apt install libportaudio2; until then it records to performance.wav"
    return Finding("PortAudio", NOTE, problem, remedy)


def _cards() -> Finding:
    from device.card import list_cards, portaudio_problem

    cards = [] if portaudio_problem() else list_cards()
    if cards:
        return Finding("sound cards", GOOD, "; ".join(cards))
    remedy = "plug one in and look with `aplay -l`; until then it records to performance.wav"
    return Finding("sound cards", NOTE, "none", remedy)


def _pins(pins: tuple[int, ...]) -> Finding:
    if not _DEFAULT_CHIP.exists():
        return Finding("pins", NOTE, f"no {_DEFAULT_CHIP}; the keyboard works in a terminal")
    from device.gpio import GpioSwitches
    from device.switches import format_bits

    try:
        with GpioSwitches(pins) as switches:
            bits = format_bits(switches.read(0.0))
    except SwitchboardError as error:
        return Finding("pins", NOTE, str(error), "sudo usermod -aG gpio $USER, then log in again")
    return Finding("pins", GOOD, f"BCM {', '.join(map(str, pins))} read {bits}")


def _model(path: Path | None) -> Finding:
    from device.network import BUNDLED_MODEL, Network

    path = path or BUNDLED_MODEL
    try:
        card = Network.open(path).card
    except SwitchboardError as error:
        return Finding("model", BAD, str(error), "train and export one, or reinstall")
    found = (
        f"{card.title!r} ({path.name}, {path.stat().st_size / 2**20:.1f} MiB): "
        f"{card.n_switches} switches, {card.sample_rate} Hz, window {card.n_fft}, "
        f"golden vector as exported"
    )
    return Finding("model", GOOD, found)

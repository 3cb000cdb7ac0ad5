"""Pushing a model: to one device, or to several at once."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from device.errors import ContractError, SwitchboardError
from device.files import read_regular
from device.model.contract import MAX_MODEL_BYTES, ModelCard
from device.model.network import Network
from device.plain_text import one_line
from device.updates.receiver import UploadHeader
from device.updates.validation import ValidationResult
from export.remote.box_client import Box
from export.remote.ssh import Host, Line, NoSwitchboard

_MOST_AT_ONCE = 16

Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Model:
    """A file that keeps the contract, read once for all devices."""

    content: bytes
    sha256: str
    card: ModelCard

    @classmethod
    def open(cls, path: Path) -> Self:
        """Check a file as every device will, before the first connection.

        Raises
        ------
        ModelNotFound, ModelTooLarge, ModelUnreadable, ContractError, GoldenMismatch
        """
        card = Network.open(path).card
        content = read_regular(path, MAX_MODEL_BYTES)
        return cls(content, hashlib.sha256(content).hexdigest(), card)


def push(
    model: Model, host: Host, line: Line, *, again: bool = False, report: Report = lambda *_: None
) -> ValidationResult:
    """Send a model to a device and wait for the device's verdict.

    Parameters
    ----------
    again : bool
        Whether a device that refused this file before validates it once more.
    report : callable
        Called with the current step, and how much of it is done, from 0 to 1.

    Raises
    ------
    SwitchboardError
        If there is no verdict.
    """
    report("connecting", 0.0)
    with Box(host, line) as device:
        _check_age(model, host, device.greeting())
        device.announce(UploadHeader(model.sha256, len(model.content), again))
        for answer in device.answers():
            match answer:
                case {"event": "send"}:
                    report("sending", 0.0)
                    device.send(model.content)
                case {"event": "received", "n_bytes": int(n_bytes)}:
                    report("sending", n_bytes / len(model.content))
                case {"event": "check", "check": str(check)}:
                    report(f"checking {one_line(check)}", 1.0)
                case {"event": "verdict"}:
                    device.disconnect()
                    return _verdict(host, answer)
    raise AssertionError("answers end in a verdict or in an error")


def _check_age(model: Model, host: Host, greeting: dict[str, Any]) -> None:
    supported, needed = greeting.get("contract_version"), model.card.contract_version
    if not isinstance(supported, int) or supported < needed:
        raise ContractError(
            f"{host}: found a device that supports models up to contract version "
            f"{one_line(str(supported))}, expected {needed}, which this model has; update the "
            "device, or push a model that was exported for it"
        )


def _verdict(host: Host, answer: dict[str, Any]) -> ValidationResult:
    match answer:
        case {
            "accepted": bool(accepted),
            "seconds": int(seconds) | float(seconds),
            "check": str(check),
            "reason": str(reason),
            "exit_code": int(exit_code),
            "figures": dict(figures),
        }:
            # Text of another machine, to be printed in a terminal.
            texts = one_line(check), one_line(reason)
            return ValidationResult(accepted, seconds, *texts, exit_code, figures)
    raise NoSwitchboard(f"{host}: found a verdict without an end; update the device")


@dataclass(frozen=True)
class Outcome:
    """The result of a push: the device's verdict, or why there is none."""

    host: Host
    seconds: float
    verdict: ValidationResult | None = None
    error: SwitchboardError | None = None

    def check(self) -> None:
        """Raise the reason why the device does not play the model, if it does not.

        Raises
        ------
        SwitchboardError
        """
        if self.error is not None:
            raise self.error
        assert self.verdict is not None
        self.verdict.check_accepted(str(self.host))


def push_all(
    model: Model,
    hosts: Sequence[Host],
    line: Line,
    *,
    ports: Mapping[Host, int | None] | None = None,
    again: bool = False,
    report: Callable[[Host, str, float], None] = lambda *_: None,
) -> list[Outcome]:
    """Push to several devices at once; in the order of the hosts.

    Parameters
    ----------
    ports : mapping
        Ports of ssh that differ from the line's.
    """
    ports = ports or {}

    def one(host: Host) -> Outcome:
        started = time.monotonic()

        def elapsed() -> float:
            return time.monotonic() - started

        try:
            own = replace(line, port=ports.get(host, line.port))
            verdict = push(model, host, own, again=again, report=partial(report, host))
            return Outcome(host, elapsed(), verdict=verdict)
        except SwitchboardError as error:
            return Outcome(host, elapsed(), error=error)

    with ThreadPoolExecutor(min(len(hosts), _MOST_AT_ONCE)) as pool:
        return list(pool.map(one, hosts))

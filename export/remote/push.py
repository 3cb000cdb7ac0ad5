"""Pushing a model: to one box, or to several at once."""

import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
    """A file that keeps the contract, read once for all boxes."""

    content: bytes
    sha256: str
    card: ModelCard

    @classmethod
    def open(cls, path: Path) -> Self:
        """Check a file as every box will, before any is bothered.

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
    """Send a model to a box and wait for the box's verdict.

    Parameters
    ----------
    again : bool
        Whether a box that refused this very file before shall look once more.
    report : callable
        Told what goes on, and how much of it is done, from 0 to 1.

    Raises
    ------
    SwitchboardError
        If there is no verdict.
    """
    report("connecting", 0.0)
    with Box(host, line) as box:
        _check_age(model, host, box.greeting())
        box.say(UploadHeader(model.sha256, len(model.content), again))
        for answer in box.answers():
            match answer:
                case {"event": "send"}:
                    report("sending", 0.0)
                    box.send(model.content)
                case {"event": "received", "n_bytes": int(n_bytes)}:
                    report("sending", n_bytes / len(model.content))
                case {"event": "check", "check": str(check)}:
                    report(f"checking {one_line(check)}", 1.0)
                case {"event": "verdict"}:
                    box.part()
                    return _verdict(host, answer)
    raise AssertionError("answers end in a verdict or in an error")


def _check_age(model: Model, host: Host, greeting: dict[str, Any]) -> None:
    known, ours = greeting.get("contract_version"), model.card.contract_version
    if not isinstance(known, int) or known < ours:
        raise ContractError(
            f"{host}: found a box that knows models up to contract version "
            f"{one_line(str(known))}, expected {ours}, which this model has; bring the box up to "
            "date, or push a model that was exported for it"
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
            # Words of another machine, on their way to a terminal.
            said = one_line(check), one_line(reason)
            return ValidationResult(accepted, seconds, *said, exit_code, figures)
    raise NoSwitchboard(f"{host}: found a verdict without an end; bring the box up to date")


@dataclass(frozen=True)
class Outcome:
    """What a push came to: the box's verdict, or why there is none."""

    host: Host
    seconds: float
    verdict: ValidationResult | None = None
    error: SwitchboardError | None = None

    def check(self) -> None:
        """Raise what kept the model from playing there.

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
    again: bool = False,
    report: Callable[[Host, str, float], None] = lambda *_: None,
) -> list[Outcome]:
    """Push to several boxes at once; in the order of the hosts."""

    def one(host: Host) -> Outcome:
        started = time.monotonic()

        def elapsed() -> float:
            return time.monotonic() - started

        try:
            verdict = push(model, host, line, again=again, report=partial(report, host))
            return Outcome(host, elapsed(), verdict=verdict)
        except SwitchboardError as error:
            return Outcome(host, elapsed(), error=error)

    with ThreadPoolExecutor(min(len(hosts), _MOST_AT_ONCE)) as pool:
        return list(pool.map(one, hosts))

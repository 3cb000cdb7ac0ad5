"""The events of a performance, as lines of JSON.

The first line of a log is its `Header`; each line after it is an event. With the models that they
name they determine every sample. ``block`` counts the blocks made before the event, ``sample`` the
samples; an event of a voice has the index of that voice's next frame, because a model that takes
over is played unheard before it is heard, from another frame on.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from device.errors import PerformanceError
from device.plain_text import one_line
from device.playback.control import LEAST_DB

FORMAT = 1
# Of models, and more.
_SAMPLE_RATES = 1_000, 768_000


@dataclass(frozen=True)
class Flip:
    """The bits that a voice plays with from a frame on.

    They are those that were applied: a flip that waited for its score has the frame at which it no
    longer waited.
    """

    event: ClassVar = "flip"
    block: int
    sample: int
    voice: int
    frame: int
    bits: str


@dataclass(frozen=True)
class Takeover:
    """The audio loop scheduled a voice, which is a new one or one that was heard before.

    Attributes
    ----------
    vocoder : int
        The voice that the vocoder was made for; the voice's own number, if it is a new vocoder.
    at_once : bool
        Not at the next bar.
    digest, title : str
        Of the model.
    tempo_bpm, gain_db : float or None, float
        With which the voice was made.
    """

    event: ClassVar = "takeover"
    block: int
    sample: int
    voice: int
    vocoder: int
    at_once: bool
    digest: str
    title: str
    tempo_bpm: float | None
    gain_db: float


@dataclass(frozen=True)
class Setting:
    """The tempo (BPM, None for the model's) or the gain (dB) was set, for all voices.

    Attributes
    ----------
    name : str
        "tempo" or "gain".
    """

    event: ClassVar = "setting"
    block: int
    sample: int
    name: str
    value: float | None


@dataclass(frozen=True)
class Fade:
    """A fade of all sound to a level, 0 to 1, began; it takes so many samples."""

    event: ClassVar = "fade"
    block: int
    sample: int
    level: float
    n_samples: int


@dataclass(frozen=True)
class Rest:
    """So many samples of silence were written, while the music stood still."""

    event: ClassVar = "rest"
    block: int
    sample: int
    n_samples: int


@dataclass(frozen=True)
class Quality:
    """The governor set the work for a hop of the voice that is heard."""

    event: ClassVar = "quality"
    block: int
    sample: int
    iterations: int
    held_frames: int


@dataclass(frozen=True)
class Failure:
    """The model that is heard could not be computed."""

    event: ClassVar = "failure"
    block: int
    sample: int
    voice: int
    reason: str


@dataclass(frozen=True)
class End:
    """The end: the fade begins with `block`; `sample` is the length of the music with it."""

    event: ClassVar = "end"
    block: int
    sample: int
    fade_samples: int


Event = Flip | Takeover | Setting | Fade | Rest | Quality | Failure | End
_KINDS: dict[str, type[Event]] = {
    kind.event: kind for kind in (Flip, Takeover, Setting, Fade, Rest, Quality, Failure, End)
}


@dataclass(frozen=True)
class Header:
    """What was played, and what computed it.

    Attributes
    ----------
    format : int
    software, kernel, libraries, machine : str
        Version; what computed the sound; versions of onnxruntime and numpy; the processor's kind.
        With others the samples may differ in their last bits.
    started : float
        Seconds since the epoch.
    sample_rate : int
        Of the speaker.
    digest, title : str
        Of the model at the start.
    performance : dict
        Fields of `Performance`.
    stretch : tuple of int or None
        First sample, and the one after the last, of what a kept log belongs to; None: all of it.
    """

    event: ClassVar = "start"
    format: int
    software: str
    kernel: str
    libraries: str
    machine: str
    started: float
    sample_rate: int
    digest: str
    title: str
    performance: dict[str, Any]
    stretch: tuple[int, int] | None = None


def to_line(entry: Event | Header) -> bytes:
    """A line of JSON in ASCII, with its end."""
    return (
        json.dumps({"event": entry.event, **asdict(entry)}, separators=(",", ":")).encode() + b"\n"
    )


def to_event(line: bytes, software: str) -> Event:
    """The event of a line.

    Parameters
    ----------
    software : str
        Version that wrote the log.

    Raises
    ------
    PerformanceError
        If it is none of this version's.
    """
    content = _object(line)
    name = content.pop("event", None)
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise PerformanceError(
            f"found the event {one_line(repr(name), 60)}, expected {', '.join(_KINDS)}; version "
            f"{one_line(software, 40)} wrote the log: render it with that version or a newer one"
        )
    return kind(**_checked(kind, content))


def to_header(line: bytes) -> Header:
    """The header of a log.

    Raises
    ------
    PerformanceError
        If it is none, or of another format.
    """
    content = _object(line)
    if content.pop("event", None) != Header.event:
        raise PerformanceError("found no line with the event start first, expected a log of `play`")
    if content.get("format") != FORMAT:
        raise PerformanceError(
            f"found format {one_line(repr(content.get('format')), 40)} of version "
            f"{one_line(str(content.get('software')), 40)}, expected format {FORMAT}; render it "
            "with that version"
        )
    stretch = content.pop("stretch", None)
    header = Header(**_checked(Header, content, optional=("stretch",)))
    lowest, highest = _SAMPLE_RATES
    if not lowest <= header.sample_rate <= highest:
        raise PerformanceError(
            f"found sample_rate {header.sample_rate}, expected {lowest} to {highest}"
        )
    if stretch is None:
        return header
    if not (_are_positions(stretch) and stretch[0] < stretch[1]):
        raise PerformanceError(f"found the stretch {stretch!r}, expected two samples in order")
    return Header(**{**vars(header), "stretch": (stretch[0], stretch[1])})


def _are_positions(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 2
        and all(type(value) is int and value >= 0 for value in values)
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise PerformanceError(f"found {one_line(repr(line), 60)}, expected JSON") from error
    if not isinstance(content, dict):
        raise PerformanceError(f"found {one_line(repr(line), 60)}, expected an object of JSON")
    return content


_MAY_BE_NEGATIVE = ("gain_db", "value")
_TYPES: dict[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    float | None: (type(None), int, float),
    str: (str,),
    bool: (bool,),
    dict[str, Any]: (dict,),
}


def _checked(kind: Any, content: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The content, if it has exactly the fields of a kind, of their types, and none below 0."""
    types = {field.name: field.type for field in fields(kind) if field.name not in optional}
    if content.keys() != types.keys():
        raise PerformanceError(
            f"{kind.event}: found the fields {one_line(', '.join(content), 120)}, expected "
            f"{', '.join(types)}"
        )
    for name, value in content.items():
        right_type = type(value) in _TYPES[types[name]]
        lowest = LEAST_DB if name in _MAY_BE_NEGATIVE else 0
        if not right_type or (isinstance(value, (int, float)) and not lowest <= value < 2**53):
            raise PerformanceError(
                f"{kind.event}: found {name} {one_line(repr(value), 60)}, expected "
                f"{_TYPES[types[name]][-1].__name__}, 0 or more if it is a number"
            )
    return content

"""Reports: HTML pages in one file, with charts, sounds and spectrograms embedded.

A report is a template in ``templates/`` that extends ``base.html``, which has the style, players
and tables. This module makes their content: charts whose colours follow the light or dark scheme of
the browser, lossless sounds, pictures of spectrograms.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from device.plain_text import in_markup, visible
from device.system.outputs import written
from training.metrics.mel import mel_filter_bank
from training.metrics.reconstruction import stft_magnitude

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGES = Path(__file__).with_name("templates")

# Placeholder colours, which no chart uses otherwise, for variables of the style sheet.
INK, MUTED, RULE, PAPER = "#010000", "#020000", "#030000", "#040000"
FIRST, SECOND = "#050000", "#060000"
STEPS = tuple(f"#0700{step:02x}" for step in range(1, 8))
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    PAPER: "paper",
    FIRST: "first",
    SECOND: "second",
    **{colour: f"step-{number}" for number, colour in enumerate(STEPS, 1)},
}
_STYLE: Mapping[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.size": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "svg.fonttype": "none",
    "text.color": INK,
    # A label may hold dollar signs, which do not start a formula.
    "text.parse_math": False,
    "xtick.color": MUTED,
    "xtick.minor.bottom": False,
    "ytick.color": MUTED,
    "ytick.minor.left": False,
}
# Levels this far below the loudest are black in a picture.
_PICTURE_RANGE_DB = 70.0
_PICTURE_SHAPE = (96, 560)  # rows, columns
_THUMBNAIL_SHAPE = (64, 256)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, its unit, and whether it holds numbers."""

    title: str
    unit: str = ""
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound with a player.

    Attributes
    ----------
    label, note : str
        Name and description.
    uri, picture : str
        The sound and its spectrogram, embedded.
    """

    label: str
    note: str
    uri: str
    picture: str


# -- charts ---------------------------------------------------------------------------------


@contextmanager
def chart_style() -> Iterator[None]:
    """Style of charts, for making and converting them inside the context."""
    import matplotlib

    with matplotlib.rc_context(dict(_STYLE)):
        yield


def chart(figure: "Figure", name: str, alt: str) -> Markup:
    """Turn a figure into SVG to put into a page.

    Parameters
    ----------
    name : str
        Unique in the page: parts of a chart refer to each other by it.
    alt : str
        Alternative text, for screen readers.
    """
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # The page sets the size; the aspect ratio stays.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    label = Markup('<svg role="img" aria-label="{}"').format(alt)
    return Markup(svg.replace("<svg", label, 1))


# -- sounds and pictures --------------------------------------------------------------------


def sound(label: str, samples: NDArray[np.float32], sample_rate: int, *, note: str = "") -> Sound:
    """Embed a mono signal, (n_samples,), with a picture of its spectrogram."""
    return Sound(
        label, note, sound_uri(samples, sample_rate), spectrogram_uri(samples, sample_rate)
    )


def common_gain(sounds: Sequence[NDArray[np.float32]], *, peak: float = 0.98) -> float:
    """Common factor for several signals so that none clips; at most 1."""
    loudest = max((float(np.abs(samples).max(initial=0.0)) for samples in sounds), default=0.0)
    return min(1.0, peak / loudest) if loudest else 1.0


def sound_uri(samples: NDArray[np.float32], sample_rate: int) -> str:
    """Embed a sound as 16-bit FLAC: every browser plays it, and it is lossless."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", file.getvalue())


def spectrogram_uri(samples: NDArray[np.float32], sample_rate: int) -> str:
    """Embed a picture: time to the right, mel bands upwards, 70 dB from bright to dark."""
    return picture_uri(_mel_levels_db(samples, sample_rate, _PICTURE_SHAPE))


def thumbnail(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    """Draw the same smaller, as WebP of a few kilobytes, where a page has hundreds."""
    levels_db = _mel_levels_db(samples, sample_rate, _THUMBNAIL_SHAPE)
    return _picture(levels_db, "webp", {"quality": 40, "method": 6})


def _mel_levels_db(
    samples: NDArray[np.float32], sample_rate: int, shape: tuple[int, int]
) -> NDArray[np.floating[Any]]:
    import librosa

    n_rows, n_columns = shape
    n_fft, hop_length = 2048, max(1, -(-len(samples) // n_columns))
    magnitude = stft_magnitude(samples, n_fft, hop_length)
    # Of the frames only those centred in the signal.
    first = -(-n_fft // (2 * hop_length))
    inside = magnitude[first : first + len(samples) // hop_length]
    power = mel_filter_bank(sample_rate, n_fft, n_rows) @ np.square(inside).T
    levels_db: NDArray[np.floating[Any]] = librosa.power_to_db(
        power, ref=np.max, top_db=_PICTURE_RANGE_DB
    )
    return levels_db


def picture_uri(levels_db: NDArray[np.floating[Any]]) -> str:
    """Embed a picture of levels, (n_rows, n_columns), the first row lowest, 0 dB brightest."""
    return data_uri("image/png", _picture(levels_db, "png", {}))


def _picture(levels_db: NDArray[np.floating[Any]], kind: str, how: Mapping[str, Any]) -> bytes:
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(
        file,
        levels_db,
        format=kind,
        cmap="magma",
        vmin=-_PICTURE_RANGE_DB,
        vmax=0.0,
        origin="lower",
        pil_kwargs=dict(how),
    )
    return file.getvalue()


def data_uri(kind: str, content: bytes) -> str:
    """Embed a file's bytes in a page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


# -- pages ----------------------------------------------------------------------------------


def render(template: str, **content: Any) -> str:
    """Fill in a template of ``templates/``; what is not `Markup` is escaped and made visible."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_fit_for_a_page,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)


def _fit_for_a_page(value: Any) -> Any:
    """What a template prints, without characters that neither HTML nor XML can hold."""
    if isinstance(value, Markup):
        return Markup(in_markup(value))
    if not isinstance(value, str):
        return value
    # Figures are typeset with spaces at which no line ends. An escape has ten characters at most.
    parts = value.split("\N{NO-BREAK SPACE}")
    return "\N{NO-BREAK SPACE}".join(visible(part, 10 * len(part)) for part in parts)


def write_text(path: Path, text: str) -> int:
    """Write a file whole or not at all (`device.system.outputs`); how many bytes it has.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # A lone surrogate, which UTF-8 lacks, becomes an escape: in JSON that means the same.
    content = text.encode("utf-8", "backslashreplace")
    with written(path) as file:
        file.write(content)
    return len(content)

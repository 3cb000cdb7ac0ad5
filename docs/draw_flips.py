"""Draw `docs/flips.png`: what each switch does, as each is flipped off for a bar and on again.

    make pictures

All switches are on; every two bars one of them is off for a bar. `switchboard play` plays that with
a script of flips, `switchboard render` renders it from its log, and what was heard is drawn as a
mel spectrogram above the states. The variation is frozen, so that nothing changes but by a flip.
The model is the bundled one whose switches were learnt from versions, if there is one, else the
default one.
"""

import io
import subprocess
import sys
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from device.model.contract import ModelCard
from device.model.summary import read_card
from device.plain_text import visible
from device.synthesis.transport import BEATS_PER_BAR
from training.evaluation.factors import factors_of
from training.metrics.mel import hertz_to_mel, mel_filter_bank

ROOT = Path(__file__).parents[1]
FILE = Path(__file__).with_name("flips.png")
PROGRAM = [sys.executable, "-c", "import device.cli as c; raise SystemExit(c.main())"]
SEED = 1
# A switch is flipped so long before the bar line that it waits for.
AHEAD_BEATS = 0.5

N_FFT, N_MELS = 2048, 128
RANGE_DB = 62.0
N_SHADES = 32
COLUMNS_PER_BAR = 48
DOTS_PER_INCH, N_COLOURS = 140, 96
TICKS = (200, 500, 1000, 2000, 4000, 8000)
# From silence to the loudest.
SHADES = ("#14162b", "#2b2359", "#6a2a6f", "#b8405e", "#ec7a4c", "#f9c874", "#fff6d6")
GROUND, INK, MUTED, OFF = "#14162b", "#f4efe1", "#a3a4bd", "#23264a"
ACCENT, ACCENTS = "#f9c874", ("#f9c874", "#ec9a63")

Array = NDArray[Any]


def chosen_model(folder: Path) -> Path:
    """The first model in a folder whose switches stand for factors, else the default one."""
    models = sorted(folder.rglob("*.onnx"))
    return next((path for path in models if factors_of(read_card(path))), folder / "lofi.onnx")


def states(n_switches: int) -> list[str]:
    """The state of each bar: all on, and each switch off for one bar."""
    on = "1" * n_switches
    bars = [on]
    for number in range(n_switches):
        bars += [on[:number] + "0" + on[number + 1 :], on]
    return bars


def heard(model: Path, bars: list[str], seconds_per_bar: float) -> tuple[Array, int]:
    """Mono samples of the bars, and their rate in Hz."""
    ahead = AHEAD_BEATS / BEATS_PER_BAR
    with tempfile.TemporaryDirectory() as name:
        script, log, wav = (Path(name, file) for file in ("flips.txt", "flips.log", "out.wav"))
        times = [max(number - ahead, 0) * seconds_per_bar for number in range(len(bars))]
        lines = [f"{at:.3f} {bits}\n" for at, bits in zip(times, bars, strict=True)]
        script.write_text("".join(lines), encoding="utf-8")
        seconds = f"{len(bars) * seconds_per_bar:.3f}"
        how = ["--model", str(model), "--seed", str(SEED), "--quantize", "bar", "--still"]
        ends = ["--switches", f"script:{script}", "--speaker", f"wav:{Path(name, 'unused.wav')}"]
        logged = ["--performance", str(log)]
        for command in (
            ["play", *how, "--seconds", seconds, *ends, *logged],
            ["render", *logged, "--model", str(model), "--out", str(wav)],
        ):
            subprocess.run([*PROGRAM, *command], check=True, stdout=subprocess.DEVNULL)
        with wave.open(str(wav)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
            return samples[:: file.getnchannels()], file.getframerate()


def shades(samples: Array, rate: int, width: int) -> Array:
    """Levels, (N_MELS, width): 0 is the quietest shade; the lowest band is the last row."""
    padded = np.pad(samples, N_FFT // 2)
    starts = np.linspace(0, len(samples) - 1, width).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[starts]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT))) ** 2
    level = 10 * np.log10(mel_filter_bank(rate, N_FFT, N_MELS) @ power.T + 1e-9)
    level = (level - np.percentile(level, 99.9)) / RANGE_DB + 1
    image: Array = np.clip(np.round(level * (N_SHADES - 1)), 0, N_SHADES - 1).astype(np.uint8)
    return image[::-1]


def draw(image: Array, card: ModelCard, bars: list[str]) -> Figure:
    """Spectrogram and frequencies, beneath it a lane for each switch; a column for each bar."""
    figure = Figure(figsize=(11.2, 5.6), facecolor=GROUND)
    sizes = {"height_ratios": [2.5, 0.23 * card.n_switches], "hspace": 0.04}
    above, below = figure.subplots(2, sharex=True, gridspec_kw=sizes)
    figure.subplots_adjust(left=0.165, right=0.985, top=0.885, bottom=0.085)
    _draw_spectrogram(above, image, len(bars), card.sample_rate)
    _draw_lanes(below, card, bars)
    for number, bits in enumerate(bars):
        if "0" not in bits:
            continue
        switch = bits.index("0")
        for axes, alpha in ((above, 0.6), (below, 0.25)):
            for edge in (number, number + 1):
                axes.axvline(edge, color=INK, lw=0.7, alpha=alpha)
        above.plot([number, number + 1], [1.015] * 2, color=ACCENT, lw=3, **_above(above))
        text = f"{switch + 1} off"
        above.text(number + 0.5, 1.035, text, ha="center", color=INK, fontsize=9.5, **_above(above))
    title = "Each switch is off for one bar and on again"
    figure.text(0.165, 0.958, title, color=INK, fontsize=12.5, weight="bold")
    told = f"{card.title}, {card.tempo_bpm:g} bpm, mel spectrogram of what is heard"
    figure.text(0.985, 0.958, told, color=MUTED, fontsize=9.5, ha="right")
    return figure


def _above(axes: Axes) -> dict[str, Any]:
    """Places along the bars, and heights in parts of the axes, which they may leave."""
    return {"transform": axes.get_xaxis_transform(), "clip_on": False}


def _draw_spectrogram(axes: Axes, image: Array, n_bars: int, sample_rate: int) -> None:
    shades = LinearSegmentedColormap.from_list("shades", SHADES, N_SHADES)
    axes.imshow(
        image,
        shades,
        aspect="auto",
        interpolation="none",
        extent=(0, n_bars, 0, N_MELS),
        vmin=0,
        vmax=N_SHADES - 1,
    )
    highest = hertz_to_mel(sample_rate / 2)
    places = [N_MELS * hertz_to_mel(hertz) / highest for hertz in TICKS]
    axes.set_yticks(
        places, [f"{each} Hz" if each < 1000 else f"{each // 1000} kHz" for each in TICKS]
    )
    axes.tick_params(colors=MUTED, labelsize=9, length=3, bottom=False)
    axes.spines[:].set_visible(False)


def _draw_lanes(axes: Axes, card: ModelCard, bars: list[str]) -> None:
    for switch in range(card.n_switches):
        for begin, end in _runs([bits[switch] == "1" for bits in bars]):
            axes.barh(switch, end - begin, 0.62, begin, color=ACCENTS[switch % 2], lw=0)
        axes.barh(switch, len(bars), 0.62, 0, color=OFF, lw=0, zorder=0)
    labels = [f"{visible(label)}  {number}" for number, label in enumerate(card.switch_labels, 1)]
    axes.set_yticks(range(card.n_switches), labels)
    axes.set_ylim(card.n_switches - 0.4, -0.6)
    seconds = 60 * BEATS_PER_BAR / card.tempo_bpm
    ticks = range(0, len(bars) + 1, 4)
    axes.set_xticks(ticks, [f"{bar * seconds:.0f} s" for bar in ticks])
    axes.set_xlim(0, len(bars))
    axes.tick_params(axis="x", colors=MUTED, labelsize=9, length=3)
    axes.tick_params(axis="y", colors=INK, labelsize=10, length=0)
    axes.set_facecolor(GROUND)
    axes.spines[:].set_visible(False)


def _runs(is_on: list[bool]) -> list[tuple[int, int]]:
    """First bar and end of each stretch that is on."""
    edges = np.flatnonzero(np.diff([False, *is_on, False])).reshape(-1, 2)
    return [(int(begin), int(end)) for begin, end in edges]


def png(figure: Figure) -> bytes:
    """A picture of few colours, which is a third of the size."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH)
    with Image.open(drawn) as picture:
        few = picture.convert("RGB").quantize(N_COLOURS, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True)
    return file.getvalue()


def main() -> None:
    """Play, and write the picture."""
    model = chosen_model(ROOT / "device/model")
    card = read_card(model)
    bars, seconds_per_bar = states(card.n_switches), 60 * BEATS_PER_BAR / card.tempo_bpm
    samples, rate = heard(model, bars, seconds_per_bar)
    image = shades(samples, rate, COLUMNS_PER_BAR * len(bars))
    FILE.write_bytes(png(draw(image, card, bars)))
    sys.stdout.write(f"{FILE.name}: {FILE.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()

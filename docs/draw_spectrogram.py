"""Draw `docs/spectrogram.svg`: what `switchboard play` played while a script flipped switches.

    .venv/bin/python docs/draw_spectrogram.py

The sound is rendered by the command itself, with the bundled model and a fixed seed. The picture is
one SVG file: a PNG of 16 shades inside, axes and flips as text and lines around it.
"""

import base64
import struct
import subprocess
import sys
import tempfile
import wave
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("spectrogram.svg")
SECONDS = 12.0
FLIPS = ((0.0, "00000000"), (3.0, "10000000"), (6.0, "10100000"), (9.0, "10100101"))

N_FFT = 2048
LOWEST_HZ, HIGHEST_HZ = 50.0, 8000.0
RANGE_DB = 60.0
WIDTH, HEIGHT = 480, 128
LEFT, TOP, RIGHT, BOTTOM = 52, 34, 12, 34
N_SHADES = 16
PAPER, INK = np.array([250, 248, 242]), np.array([32, 44, 86])

Array = NDArray[Any]


def played() -> tuple[Array, int]:
    """Mono samples of the run, and their rate in Hz."""
    with tempfile.TemporaryDirectory() as name:
        script, wav = Path(name, "flips.txt"), Path(name, "out.wav")
        script.write_text("".join(f"{at} {bits}\n" for at, bits in FLIPS), encoding="utf-8")
        play = [sys.executable, "-c", "import device.cli as c; raise SystemExit(c.main())", "play"]
        options = ["--model", "bundled", "--seed", "1", "--seconds", str(SECONDS)]
        ends = ["--switches", f"script:{script}", "--speaker", f"wav:{wav}"]
        subprocess.run([*play, *options, *ends], check=True, stdout=subprocess.DEVNULL)
        with wave.open(str(wav)) as file:
            assert (file.getsampwidth(), file.getnchannels()) == (2, 1)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
            return samples, file.getframerate()


def shades(samples: Array, rate: int) -> Array:
    """Levels, (HEIGHT, WIDTH): 0 is the quietest shade; the lowest frequency is the last row."""
    padded = np.pad(samples, N_FFT // 2)
    starts = np.linspace(0, len(samples) - 1, WIDTH).astype(int)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[starts]
    power = np.abs(np.fft.rfft(frames * np.hanning(N_FFT))) ** 2
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, HEIGHT + 1) * N_FFT / rate
    rows = [
        power[:, int(low) : max(int(high), int(low) + 1)].mean(axis=1)
        for low, high in pairwise(edges)
    ]
    level = 10 * np.log10(np.array(rows[::-1]) + 1e-12)
    level = (level - level.max()) / RANGE_DB + 1
    image: Array = np.clip(np.round(level * (N_SHADES - 1)), 0, N_SHADES - 1).astype(np.uint8)
    return image


def png(image: Array) -> bytes:
    """An image of 16 shades, four bits a pixel."""
    height, width = image.shape
    packed = (image[:, 0::2] << 4) | image[:, 1::2]
    lines = np.pad(packed, ((0, 0), (1, 0))).astype(np.uint8).tobytes()
    mix = np.linspace(0, 1, N_SHADES)[:, None]
    palette = np.round(PAPER * (1 - mix) + INK * mix).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 9)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    )


def svg(image: Array) -> str:
    """The picture: spectrogram, frequencies, seconds and the state after every flip."""
    data = base64.b64encode(png(image)).decode()
    bottom = TOP + HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" '
        f'height="{bottom + BOTTOM}" font-family="sans-serif" font-size="11" fill="#202c56">',
        '<rect width="100%" height="100%" fill="#faf8f2"/>',
        f'<image x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" '
        f'href="data:image/png;base64,{data}"/>',
        f'<text x="{LEFT}" y="12">switches, and the spectrogram of what they play</text>',
        f'<text x="{LEFT + WIDTH / 2}" y="{bottom + 28}" text-anchor="middle">seconds</text>',
    ]
    for hertz in (100, 1000, 8000):
        y = bottom - HEIGHT * np.log(hertz / LOWEST_HZ) / np.log(HIGHEST_HZ / LOWEST_HZ)
        label = f"{hertz} Hz" if hertz < 1000 else f"{hertz // 1000} kHz"
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for second in range(0, int(SECONDS) + 1, 3):
        x = LEFT + WIDTH * second / SECONDS
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{second}</text>')
    for at, bits in FLIPS:
        x = LEFT + WIDTH * at / SECONDS
        parts += [
            f'<text x="{x + 3:.1f}" y="{TOP - 6}" font-family="monospace">{bits}</text>',
            f'<path d="M{x:.1f} {TOP - 16}V{bottom}" stroke="#c0392b"/>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Play, and write the picture."""
    FILE.write_text(svg(shades(*played())), encoding="utf-8")


if __name__ == "__main__":
    main()

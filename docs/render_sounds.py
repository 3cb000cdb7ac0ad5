"""Render the sounds of README.md: three performances of the bundled model, 20 s each.

    make sounds

Each is played by `switchboard play` with a script of flips, one every four bars, and rendered from
its log by `switchboard render` as an MP3 file. soundfile, of the training extra, writes it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from device.model.bundled import BUNDLED_MODEL
from device.model.network import Network
from device.synthesis.transport import BEATS_PER_BAR

FOLDER = Path(__file__).with_name("sounds")
SECONDS = 20.0
BARS_PER_FLIP = 4
# The first flip comes one bar after the start, so that 20 s have three states.
FIRST_BAR = 1
# File → seed and the states one after the other, each one flip from the one before.
PERFORMANCES = {
    "one.mp3": (1, ("11100010", "11110010", "11110110")),
    "two.mp3": (2, ("01100000", "11100000", "11101000")),
    "three.mp3": (3, ("11110110", "11110111", "01110111")),
}
PROGRAM = [sys.executable, "-c", "import device.cli as c; raise SystemExit(c.main())"]


def script(states: tuple[str, ...], tempo_bpm: float) -> str:
    """Lines of seconds and states, as `play --switches script:FILE` reads them."""
    seconds_per_bar = BEATS_PER_BAR * 60 / tempo_bpm
    bars = [0, *range(FIRST_BAR, FIRST_BAR + BARS_PER_FLIP * len(states), BARS_PER_FLIP)]
    return "".join(
        f"{bar * seconds_per_bar:.3f} {state}\n" for bar, state in zip(bars, states, strict=False)
    )


def render(out: Path, seed: int, states: tuple[str, ...]) -> None:
    """Play one performance and write what was heard."""
    with tempfile.TemporaryDirectory() as name:
        flips, log = Path(name, "flips.txt"), Path(name, "performance.log")
        tempo_bpm = Network.open(BUNDLED_MODEL).card.tempo_bpm
        flips.write_text(script(states, tempo_bpm), encoding="utf-8")
        options = ["--model", "bundled", "--seed", str(seed), "--seconds", str(SECONDS)]
        ends = ["--switches", f"script:{flips}", "--speaker", f"wav:{Path(name, 'unused.wav')}"]
        logged = ["--performance", str(log)]
        commands = (
            [*PROGRAM, "play", *options, *ends, *logged],
            [*PROGRAM, "render", *logged, "--model", "bundled", "--out", str(out)],
        )
        for command in commands:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Render all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, (seed, states) in PERFORMANCES.items():
        render(FOLDER / name, seed, states)
        sys.stdout.write(f"docs/sounds/{name}: {(FOLDER / name).stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    main()

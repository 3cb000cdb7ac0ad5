"""How often tempo, metre, downbeats and key are right, on music of which they are known.

    python tests/benchmarks/metre.py [--seeds 20] [--half held-out] [--json FILE]
    python tests/benchmarks/metre.py --fit training/corpus/recordings/fitted.npz [--seeds 30]

The pieces last thirty seconds: nine patterns written by code, one of five patterns on drums alone,
two loops of the studio for each seed, and the recorded loops of Sonic Pi at three speeds (see
metre_music.py). Even seeds and the sound font TimGM6mb are for tuning; odd seeds, the font FluidR3
and the recorded loops were never tuned on. --fit uses the tuning half alone. Fonts and loops come
from Debian (see music.py).
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import metre_fit
import music
import numpy as np
from metre_music import (
    LOOPS,
    PATTERNS,
    SPEEDS,
    Piece,
    drum_piece,
    pattern_piece,
    recorded_piece,
    studio_piece,
)
from rich.console import Console
from rich.progress import track
from rich.table import Table

from training.corpus.format import SAMPLE_RATE
from training.corpus.recordings import keys
from training.corpus.recordings.beats import find_segments
from training.corpus.recordings.rejection import CLEAR_KEY, CLEAR_METRE

CONSOLE = Console(width=max(120, Console().width))
FONTS = {"tuning": "sf2/TimGM6mb.sf2", "held-out": "sf3/FluidR3Mono_GM.sf3"}
SECOND_STUDIO_SEED = 1000


@dataclass(frozen=True)
class Verdict:
    """What was found in a piece, and whether it is right; None where the truth is unknown."""

    name: str
    found: str
    is_clear: bool
    metre: bool
    tempo: bool
    beat: bool
    downbeat: bool
    key_is_clear: bool
    key: bool | None


def pieces(half: str, n_seeds: int) -> Iterator[Piece]:
    """Render the pieces of a half."""
    folder = music.sounds()
    font = folder / "usr/share/sounds" / FONTS[half]
    for seed in range(half == "held-out", 2 * n_seeds, 2):
        for name in PATTERNS:
            yield pattern_piece(name, seed, font)
        yield drum_piece(seed, font)
        yield studio_piece(seed)
        yield studio_piece(seed + SECOND_STUDIO_SEED)
    if half == "held-out":
        for name in LOOPS:
            for speed in SPEEDS:
                yield recorded_piece(folder / f"usr/share/sonic-pi/samples/{name}.flac", speed)


def judge(piece: Piece) -> Verdict:
    """Analyse a piece as `switchboard corpus folder` does, and compare."""
    chroma = keys.find_chroma(piece.audio)
    key = keys.find_key(chroma)
    segments = list(find_segments(piece.audio, chroma, keys.HOP))
    is_key_right = None if piece.signature is None else key.signature == piece.signature
    known = (key.margin >= CLEAR_KEY, is_key_right)
    if not segments:
        return Verdict(piece.name, "no loop", False, False, False, False, False, *known)
    first = segments[0]
    # In 3/4, sixteen parts are twelve beats.
    step = 4.0 / 3.0 if first.metre == "3/4" else 1.0
    rows = [np.interp(np.arange(0.0, 16.1, step), np.arange(17), s.beats) for s in segments]
    beats = np.concatenate([row[:-1] for row in rows]) / SAMPLE_RATE
    starts = np.array([segment.beats[0] for segment in segments]) / SAMPLE_RATE
    return Verdict(
        piece.name,
        f"{first.metre}, {60.0 / np.median(np.diff(beats)):.1f} bpm by {first.certainty:.2f}, "
        f"{key.name} by {key.margin:.2f}; right: {piece.metre}, "
        f"{' or '.join(f'{tempo:.1f}' for tempo in piece.tempos)} bpm, {piece.signature}",
        first.certainty >= CLEAR_METRE,
        first.metre == piece.metre,
        metre_fit.is_at_tempo(piece, beats),
        metre_fit.is_on_the_beat(piece, beats),
        metre_fit.are_on_bars(piece.downbeats, starts),
        *known,
    )


def _table(verdicts: list[Verdict]) -> Table:
    groups = defaultdict(list)
    for verdict in verdicts:
        group = verdict.name.rsplit(" ", 1)[0]
        groups["recorded loops" if group.startswith("loop_") else group].append(verdict)
    table = Table("music", "pieces", "no clear metre", "metre", "tempo", "tempo and beat",
                  "downbeat", "no clear key", "key", "key, all")  # fmt: skip
    for name, group in [*groups.items(), ("all", verdicts)]:
        clear = [v for v in group if v.is_clear]
        known = [v for v in group if v.key is not None]
        clear_key = [v for v in known if v.key_is_clear]
        table.add_row(
            name,
            str(len(group)),
            str(len(group) - len(clear)),
            _share(v.metre for v in clear),
            _share(v.tempo for v in clear),
            _share(v.beat for v in clear),
            _share(v.beat and v.downbeat for v in clear),
            str(len(known) - len(clear_key)),
            _share(v.key for v in clear_key),
            _share(v.key for v in known),
        )
    return table


def _share(right) -> str:
    answers = list(right)
    return f"{sum(answers)}/{len(answers)} {np.mean(answers):.1%}" if answers else ""


@click.command(help=__doc__)
@click.option("--half", type=click.Choice(list(FONTS)), default="held-out", show_default=True)
@click.option("--seeds", "n_seeds", default=20, show_default=True, help="Pieces of each pattern.")
@click.option("--fit", "weights", type=click.Path(path_type=Path), help="Fit and write weights.")
@click.option("--json", "results", type=click.Path(path_type=Path), help="Write all verdicts.")
def main(half: str, n_seeds: int, weights: Path | None, results: Path | None) -> None:
    """Run the evaluation or the fit."""
    rendered = track(pieces("tuning" if weights else half, n_seeds), "pieces", n_seeds * 12)
    if weights:
        np.savez(weights, **metre_fit.fit([metre_fit.describe(piece) for piece in rendered]))
        return
    verdicts = [judge(piece) for piece in rendered]
    CONSOLE.print(_table(verdicts))
    if results:
        results.write_text(json.dumps([asdict(verdict) for verdict in verdicts], indent=1))


if __name__ == "__main__":
    main()

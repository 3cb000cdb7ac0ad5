"""The weights of metre, bars and key, fitted to pieces of which all three are known.

Softmax over the hypotheses of a piece (tempo, place and metre together), over the beats of a bar,
and over the twelve signatures; with a penalty on large weights.
"""

from dataclasses import dataclass

import numpy as np
import torch
from metre_music import Piece
from torch.nn.functional import cross_entropy

from training.corpus.format import SAMPLE_RATE
from training.corpus.recordings import keys
from training.corpus.recordings.metre import METRES, Hypothesis, find_hypotheses, fold
from training.corpus.recordings.onsets import find_onsets

SAME_TEMPO, SAME_BEAT, SAME_BAR_SECONDS = 0.04, 0.12, 0.09
METRE_PENALTY, BAR_PENALTY, KEY_PENALTY = 1e-2, 1e-3, 1e-3


@dataclass(frozen=True)
class Example:
    """A piece without its sound: hypotheses, which of them are right, pitch classes."""

    metre: str
    downbeats: np.ndarray
    hypotheses: list[Hypothesis]
    is_right: np.ndarray
    shares: np.ndarray
    signature: int | None


def describe(piece: Piece) -> Example:
    """Analyse a piece."""
    chroma = keys.find_chroma(piece.audio)
    hypotheses = list(find_hypotheses(find_onsets(piece.audio), chroma, keys.HOP))
    is_right = np.array([is_on_the_beat(piece, each.beats / SAMPLE_RATE) for each in hypotheses])
    shares = keys.pitch_class_shares(chroma)
    return Example(piece.metre, piece.downbeats, hypotheses, is_right, shares, piece.signature)


def is_at_tempo(piece: Piece, beats: np.ndarray) -> bool:
    """Whether beats, in seconds, have a tempo of a piece."""
    bpm = 60.0 / np.median(np.diff(beats))
    return any(abs(bpm / tempo - 1.0) < SAME_TEMPO for tempo in piece.tempos)


def is_on_the_beat(piece: Piece, beats: np.ndarray) -> bool:
    """Whether beats, in seconds, have a tempo of a piece and fall on its beats."""
    bpm = 60.0 / np.median(np.diff(beats))
    for tempo in piece.tempos:
        # Of a piece that may be counted half as fast, every second beat.
        per_bar = METRES[piece.metre] * tempo / piece.tempos[0]
        if abs(bpm / tempo - 1.0) < SAME_TEMPO:
            return bool(np.median(_distances(piece.downbeats, beats, per_bar)) < SAME_BEAT)
    return False


def are_on_bars(downbeats: np.ndarray, beats: np.ndarray) -> bool:
    """Whether four of five beats, in seconds, begin a bar."""
    distances = _distances(downbeats, beats, 1.0) * np.median(np.diff(downbeats))
    return bool(len(distances) and np.mean(distances < SAME_BAR_SECONDS) > 0.8)


def _distances(downbeats, beats, per_bar):
    """Return how far beats are from the nearest one of a bar, in their own unit."""
    numbers = np.arange(len(downbeats)) * per_bar
    inside = beats[(beats > downbeats[0] - 0.05) & (beats < downbeats[-1])]
    positions = np.interp(inside, downbeats, numbers)
    return np.abs(positions - np.rint(positions))


# -- fits -----------------------------------------------------------------------------------


def fit(examples: list[Example]) -> dict[str, np.ndarray]:
    """Return all weights by name, see `training.corpus.recordings.fitted`."""
    bars = {f"bars {n}": _fit_bars(examples, metre, n) for metre, n in METRES.items()}
    return {**_fit_metres(examples), **bars, "key": _fit_key(examples)}


def _minimised(loss, weights):
    optimizer = torch.optim.LBFGS([weights], max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = loss(weights)
        value.backward()
        return value

    optimizer.step(closure)
    return weights.detach().numpy()


def _fit_metres(examples):
    figures = [np.stack([h.description for h in each.hypotheses]) for each in examples]
    rows = np.concatenate(figures)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    scaled = torch.tensor(np.c_[(rows - mean) / spread, np.ones(len(rows))])
    right = torch.tensor(np.concatenate([
        each.is_right[:, None] * (np.array(list(METRES)) == each.metre) for each in examples
    ]))  # fmt: skip
    lengths = [len(each.hypotheses) for each in examples]

    def loss(weights):
        scores = scaled @ weights.T
        reached = scores.masked_fill(~right, -1e9)
        pairs = zip(torch.split(scores, lengths), torch.split(reached, lengths), strict=True)
        gaps = torch.stack(
            [torch.logsumexp(a.ravel(), 0) - torch.logsumexp(b.ravel(), 0) for a, b in pairs]
        )
        # Pieces of which no hypothesis is right teach nothing.
        return gaps[gaps < 1e6].mean() + METRE_PENALTY * (weights[:, :-1] ** 2).sum()

    start = torch.zeros((len(METRES), scaled.shape[1]), dtype=torch.float64, requires_grad=True)
    return {"mean": mean, "spread": spread, "metres": _minimised(loss, start)}


def _fit_bars(examples, metre, n_beats):
    folded, right = [], []
    for each in examples:
        for hypothesis in np.array(each.hypotheses, dtype=object)[each.is_right]:
            seconds = hypothesis.beats[:-1] / SAMPLE_RATE
            starts = [are_on_bars(each.downbeats, seconds[n::n_beats]) for n in range(n_beats)]
            if each.metre == metre and any(starts):
                folded.append(fold(hypothesis.strokes, n_beats))
                right.append(starts)
    bars, right = torch.tensor(np.stack(folded)), torch.tensor(np.array(right))

    def loss(weights):
        scores = torch.einsum("npcb,cb->np", bars, weights)
        reached = torch.logsumexp(scores.masked_fill(~right, -1e9), dim=1)
        return (torch.logsumexp(scores, dim=1) - reached).mean() + BAR_PENALTY * (weights**2).sum()

    return _minimised(loss, torch.zeros(bars.shape[2:], dtype=torch.float64, requires_grad=True))


def _fit_key(examples):
    known = [each for each in examples if each.signature is not None]
    shares = torch.tensor(np.stack([keys.turned(each.shares) for each in known]))
    right = torch.tensor([each.signature for each in known])

    def loss(weights):
        scores = torch.einsum("nsjp,jp->ns", shares, weights)
        return cross_entropy(scores, right) + KEY_PENALTY * (weights**2).sum()

    return _minimised(loss, torch.zeros((2, 12), dtype=torch.float64, requires_grad=True))

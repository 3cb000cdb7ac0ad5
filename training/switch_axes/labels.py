"""Switches from labels of the music: factors that a corpus records, or tags of its files.

A label is yes or no, or a number. A switch that stands for a yes or no moves from the one to
the other, where loops are; one that stands for a number moves some standard deviations below and
above the middle. Its effect on the sound is learnt by regression, all labels at once, and the
composer is trained towards it.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.corpus.format import TRAIN, CorpusError
from training.corpus.reader import Corpus
from training.corpus.records import LoopRecord
from training.switch_axes.axes import FURTHEST, Axes

# The share of loops that a yes, or a no, must have: fewer cannot be learned from.
_RAREST = 0.01
_SAME = 0.99
_RIDGE = 1e-3


class LabelledAxes(Axes):
    """One axis for every label, known of every loop.

    Attributes
    ----------
    middle, scale : (n_switches,)
        Label → position.
    furthest : (n_switches,)
        Distance that its switch moves either way: 1 for a yes or no, else `switch_range`.
    level : (n_descriptors,)
        Descriptors at the centre of all axes.
    """

    middle: Tensor
    scale: Tensor
    furthest: Tensor
    level: Tensor

    def __init__(
        self,
        names: Sequence[str],
        n_variation: int,
        *,
        switch_range: float,
        prior_size: int = 0,
    ) -> None:
        super().__init__(len(names), n_variation, switch_range=switch_range, prior_size=prior_size)
        self._names = tuple(names)
        self.register_buffer("middle", torch.zeros(len(names)))
        self.register_buffer("scale", torch.ones(len(names)))
        self.register_buffer("furthest", torch.full((len(names),), switch_range))
        self.register_buffer("level", torch.zeros_like(self.centre))

    def fit(self, described: Tensor, labels: Tensor) -> None:
        """Fit the effect of labels on descriptors, by ridge regression."""
        yes_or_no = ((labels == 0) | (labels == 1)).all(dim=0)
        half, one = torch.tensor([0.5, 1.0]).to(labels)
        self.middle.copy_(torch.where(yes_or_no, half, labels.mean(dim=0)))
        spread = labels.std(dim=0, correction=0).clamp_min(1e-6)
        self.scale.copy_(torch.where(yes_or_no, half, spread))
        self.furthest.copy_(torch.where(yes_or_no, one, self.switch_range))
        standard = self.fit_scaling(described).double()
        position = self.project(described, labels).double()
        known = torch.cat([position, torch.ones_like(position[:, :1])], dim=1)
        ridge = _RIDGE * len(known) * torch.eye(known.shape[1]).to(known)
        slopes = torch.linalg.solve(known.T @ known + ridge, known.T @ standard)
        self.effect.copy_(slopes[:-1].T)
        self.level.copy_(slopes[-1])

    def project(self, described: Tensor, labels: Tensor) -> Tensor:
        """Where labels put loops: (n_loops, n_labels) → (n_loops, n_switches)."""
        del described
        return ((labels - self.middle) / self.scale).clamp(-FURTHEST, FURTHEST)

    def switch_position(self, switches: Tensor) -> Tensor:
        """A yes and a no lie where loops have them, numbers at `switch_range`."""
        return self.furthest * (2 * switches - 1)

    def predict_descriptors(self, position: Tensor) -> Tensor:
        """Standardised descriptors of loops with such labels."""
        return self.level + super().predict_descriptors(position)

    def names(self) -> tuple[str, ...]:
        """The labels themselves."""
        return self._names


def factors(corpus: Corpus, names: Sequence[str]) -> NDArray[np.float32]:
    """Read labels that a corpus has of its loops, such as the plan of the studio.

    Parameters
    ----------
    names
        Such as ``brightness``; ``drums`` for ``drums_on``; ``mode=minor`` for one value of a text.

    Returns
    -------
    (n_loops, n_names)

    Raises
    ------
    CorpusError
        If it has no such label, or one that cannot be a switch.
    """
    known = _known(corpus.records)
    columns = [_factor(corpus, name, known) for name in names]
    return _checked(corpus, names, np.stack(columns, axis=1))


def _known(records: Sequence[LoopRecord]) -> dict[str, list[Any]]:
    """Values that loops have of every label that all of them have."""
    values: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        for name, value in record.labels.items():
            values[name].append(value)
    return {name: column for name, column in values.items() if len(column) == len(records)}


def _factor(corpus: Corpus, name: str, known: Mapping[str, list[Any]]) -> NDArray[np.float32]:
    label, _, text = name.partition("=")
    values = known.get(label, known.get(f"{label}_on", []))
    if text and text in values:
        return np.array([value == text for value in values], dtype=np.float32)
    if not text and values and all(isinstance(value, bool | int | float) for value in values):
        return np.array(values, dtype=np.float32)
    raise CorpusError(
        f"{corpus.directory}: found no label {name!r} that could be a switch, expected some of "
        f"{', '.join(_usable(known)) or 'none: this corpus has none, see --tags'}"
    )


def _usable(known: Mapping[str, list[Any]]) -> list[str]:
    """What `_factor` understands: numbers, yes or no by name, and texts, each with an example."""
    names = []
    for name, values in sorted(known.items()):
        if all(isinstance(value, bool | int | float) for value in values):
            names += [name.removesuffix("_on")] if len(set(values)) > 1 else []
        elif all(isinstance(value, str) for value in values):
            names.append(f"{name}={min(values)}")
    return names


def read_tags(path: Path) -> dict[str, frozenset[str]]:
    """Read a table of tags: two columns, ``track`` and ``tags``, the latter separated by ``;``.

    Raises
    ------
    CorpusError
        If it cannot be read, is no such table, or names a track twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path}: cannot be read ({error}); expected a CSV file") from error
    if not rows or [column.strip() for column in rows[0]] != ["track", "tags"]:
        header = ",".join(rows[0]) if rows else "nothing"
        raise CorpusError(f"{path}: found {header} in the first line, expected track,tags")
    tags: dict[str, frozenset[str]] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != 2 or row[0].strip() in tags or "," in row[1]:
            raise CorpusError(
                f"{path}: line {number} holds {','.join(row)!r}, expected a track not named "
                "before, and its tags separated by ';'"
            )
        tags[row[0].strip()] = frozenset(tag.strip() for tag in row[1].split(";") if tag.strip())
    return tags


def tag_names(tags: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """All tags of a table, the most frequent first."""
    counted = Counter(tag for of_track in tags.values() for tag in of_track)
    return tuple(sorted(counted, key=lambda tag: (-counted[tag], tag)))


def tagged(
    corpus: Corpus, tags: Mapping[str, frozenset[str]], names: Sequence[str]
) -> NDArray[np.float32]:
    """Look up which tags the track of each loop has, (n_loops, n_names), 0 or 1.

    Raises
    ------
    CorpusError
        If a track of the corpus is missing, or a tag is unknown or cannot be a switch.
    """
    every = tag_names(tags)
    if unknown := [name for name in names if name not in every]:
        raise CorpusError(
            f"no track has the tag {unknown[0]!r}, expected some of {', '.join(every)}"
        )
    tracks = [str(record.provenance.get("path", record.id)) for record in corpus.records]
    if missing := sorted(set(tracks) - tags.keys()):
        raise CorpusError(
            f"found no line for {len(missing)} of {len(set(tracks))} tracks of {corpus.directory}, "
            f"such as {', '.join(missing[:3])}; give each a line, with no tags where none fit"
        )
    rows = [[name in tags[track] for name in names] for track in tracks]
    return _checked(corpus, names, np.array(rows, dtype=np.float32))


def _checked(
    corpus: Corpus, names: Sequence[str], labels: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Reject labels that cannot be a switch, judged by the training loops."""
    is_train = np.array([record.split == TRAIN for record in corpus.records])
    for name, column in zip(names, labels[is_train].T, strict=True):
        value, n_others = _commonest(column)
        if n_others < _RAREST * len(column):
            raise CorpusError(
                f"label {name!r}: found {value:g} in {len(column) - n_others} of {len(column)} "
                "loops to train on, expected some of either; leave it out"
            )
    for i, k in combinations(range(len(names)), 2):
        if abs(np.corrcoef(labels[is_train][:, [i, k]].T)[0, 1]) > _SAME:
            raise CorpusError(
                f"labels {names[i]!r} and {names[k]!r} are the same for all loops; leave one out"
            )
    return labels


def _commonest(column: NDArray[np.float32]) -> tuple[float, int]:
    """The value that most loops have, and how many have another."""
    values, counts = np.unique(column, return_counts=True)
    return float(values[counts.argmax()]), int(len(column) - counts.max())

"""Two measures of a switch: how well it is recognised, and how coherent its effect is.

The training report and the evaluation both use them. The evaluation chooses other inputs than the
training report: it clips features at 4 standard deviations, regularises with a constant, and tests
on all states. The formulas are the same.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

# A mean squared change below this is rounding error: a disconnected switch has coherence 0.
_LEAST_SQUARED_CHANGE = 1e-9


def recognition_rate(
    training: tuple[Doubles, NDArray[Any]],
    test: tuple[Doubles, NDArray[Any]],
    *,
    ridge: float,
) -> Doubles:
    """Fit a linear recogniser of the switches and count its correct answers on test sounds.

    Ridge regression of the switches as ±1 on features and a constant; the sign is the answer.

    Parameters
    ----------
    training, test : tuple of arrays
        Features (..., n_sounds, n_features) and switches (n_sounds, n_switches), 0 or 1.
        Training features have two dimensions.
    ridge : float
        Added to the diagonal of the Gram matrix, which sums over `n_sounds`.

    Returns
    -------
    (n_switches,), share of correct answers, 0.5 by guessing.
    """
    features, switches = _with_constant(training[0]), np.asarray(training[1]) > 0
    gram = features.T @ features + ridge * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ (2.0 * switches - 1.0))
    correct = (_with_constant(test[0]) @ weights > 0) == (np.asarray(test[1]) > 0)
    return np.asarray(correct.reshape(-1, correct.shape[-1]).mean(axis=0))


def coherence(changes: Doubles) -> float:
    """Share of a switch's effect that does not depend on the other switches and the variation.

    The squared mean change over the mean squared change, both summed over features.

    Parameters
    ----------
    changes : (n_pairs, n_features)
        Features with the switch on minus features with it off, all else equal.

    Returns
    -------
    float
        1 if all changes are equal, near 0 if they have nothing in common.
    """
    changes = np.asarray(changes, dtype=np.float64)
    squared_mean = np.square(changes.mean(axis=0)).sum()
    mean_square = np.square(changes).sum(axis=1).mean()
    return float(squared_mean / max(mean_square, _LEAST_SQUARED_CHANGE))


def _with_constant(features: Doubles) -> Doubles:
    features = np.asarray(features, dtype=np.float64)
    return np.concatenate([features, np.ones((*features.shape[:-1], 1))], axis=-1)

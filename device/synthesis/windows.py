"""The windows that magnitudes may be made with, and where in a frame its position is.

A Hann window rises as long as it falls, and a frame that begins with a flip is loudest half a
window later. An *asymmetric* one rises in a third of the frame and falls in the rest, so that the
new sound is heard sooner. Analysis of live input turns the short side to the newest sample for the
same reason (Mauler & Martin 2007); synthesis has to turn it to the oldest. The initial phases of a
streaming inversion gain by that, too: more of a new frame's weight lies where its predecessors
overlap. Its main lobe is as wide as that of a Hann window of the same length down to
-20 dB (104 and 95 Hz at 768 samples of 22,050 Hz), and twice as wide at -40 dB (218 and 112 Hz).
"""

import numpy as np
from numpy.typing import NDArray

from device.model.contract import WINDOWS

# One part of so many of the frame is its rise.
_RISES = {"hann": 2, "asymmetric": 3}


def analysis_window(name: str, n_fft: int) -> NDArray[np.float64]:
    """Half a Hann window up to `window_peak`, and half of another one down from it; periodic.

    Parameters
    ----------
    name : str
        One of `device.model.contract.WINDOWS`.

    Returns
    -------
    (n_fft,), from 0 at the first sample to 1 at the peak; the mean square is 3/8.

    Raises
    ------
    ValueError
        If there is no such window.
    """
    knots = [0, window_peak(name, n_fft), n_fft]
    stretched = np.interp(np.arange(n_fft), knots, [0, n_fft / 2, n_fft])
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * stretched / n_fft))


def window_peak(name: str, n_fft: int) -> int:
    """The sample of a frame, counted from its oldest, that lies at the frame's position."""
    if name not in WINDOWS:
        raise ValueError(f"window: found {name!r}, expected {' or '.join(map(repr, WINDOWS))}")
    return n_fft // _RISES[name]

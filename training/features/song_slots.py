"""Which passage of a song plays each 16th note."""

import numpy as np
from numpy.typing import NDArray

from device.synthesis.variation import SongForm

Indices = NDArray[np.int64]


def played_slots(form: SongForm, n_passes: int, n_slots: int) -> tuple[Indices, Indices]:
    """The passage that plays each slot of so many passes of the loop, and the slot in the loop.

    Both (n_passes * n_slots,): an index into the scores of all passages, one after another.
    """
    slots = np.arange(n_passes * n_slots)
    passages = [form.passage_at(slot / n_slots) for slot in slots.tolist()]
    return np.array(passages, dtype=np.int64), slots % n_slots

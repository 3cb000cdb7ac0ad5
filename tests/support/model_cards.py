"""The card of the tiny model, and parts of it to be changed."""

import json
from dataclasses import replace

from tests.support.tiny_model import Sizes, describe

CARD = describe(Sizes())
REMEDY = "export the model again with `switchboard export`"


def metadata(**changes):
    return {**CARD.to_metadata(), **changes}


def golden_text(**changes):
    """The golden vector's text with parts replaced; a part of None is left out."""
    parts = {**json.loads(CARD.golden.to_json()), **changes}
    return json.dumps({name: part for name, part in parts.items() if part is not None})


def golden_of(**changes):
    return replace(CARD.golden, **changes).to_json()


def golden_frames(n_frames):
    """The parts of a golden vector of `n_frames` frames."""
    frames = (0.0,) * n_frames * CARD.n_bins
    return {"positions": (0.0,) * n_frames, "log_magnitude": frames, "magnitude": frames}

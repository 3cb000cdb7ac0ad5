"""Workstation side: corpora, the network and how it learns."""

from training.numba_cache import ensure_numba_cache

# Here, for librosa is imported in many places, in worker processes too.
ensure_numba_cache()

"""Workstation side: corpora, the networks and their training."""

from training.numba_cache import ensure_numba_cache

# Here, as librosa is imported in many places, in worker processes too.
ensure_numba_cache()

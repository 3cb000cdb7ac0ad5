"""Tiny models whose music has given licences and credits."""

import json

from tests.support import tiny_model as tiny

CC0 = "CC0-1.0"
BY = "CC BY 4.0"
BY_NC = "Attribution-NonCommercial 3.0 International"
BY_ND = "CC BY-ND 4.0"


def licensed(path, *licences, title="Tiny test model", labels=None, **more):
    """Write a model trained on music of these licences; `more` is put into its corpus."""
    corpus = {"source": "folder", "n_loops": 120, "hours": 0.4, "licences": list(licences), **more}
    metadata = {"title": title, "provenance": json.dumps({"corpus": corpus})}
    if labels:
        metadata["switch_labels"] = json.dumps(labels)
    return tiny.build(path, metadata=metadata)

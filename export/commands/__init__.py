"""The verbs `export`, `push` and `pair`."""

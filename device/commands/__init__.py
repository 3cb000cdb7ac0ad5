"""The verbs of the box, one module each."""

"""From a trained run to the one file the box plays."""

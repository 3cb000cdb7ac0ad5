"""From a trained run to the one file the device plays."""

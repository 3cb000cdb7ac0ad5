"""The model file: its contract, its metadata, and the network that runs it."""

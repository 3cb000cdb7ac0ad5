"""A device reached over ssh: pairing, and sending a model."""

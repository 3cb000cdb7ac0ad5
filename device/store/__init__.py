"""The models on this device: links, lock, uploads, verdicts and counted starts."""

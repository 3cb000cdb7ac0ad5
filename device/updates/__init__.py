"""A pushed model: received, validated in a process of its own, installed."""

"""Other software for the device: the bundle it arrives in, who signed it, and what became of it."""

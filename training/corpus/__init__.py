"""A corpus on disk: its format, its reader, its writers."""

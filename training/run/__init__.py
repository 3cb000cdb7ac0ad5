"""One training: its configuration, its folder, its stages."""

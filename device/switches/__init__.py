"""Sources of switch states (pins, keyboard, script), debouncing and wiring.

Imports `device.console`, `device.errors`, `device.files` and `device.plain_text`.
"""

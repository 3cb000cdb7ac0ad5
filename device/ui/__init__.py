"""Output about a playing instrument: terminal, LEDs, status file, messages to systemd.

Imports `device.playback` and the packages below it.
"""

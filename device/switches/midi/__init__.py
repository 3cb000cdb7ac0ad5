"""MIDI from and to raw ALSA device files: parser, ports, what a message does, lights.

Imports the commands, `device.console`, `device.errors` and the threads of the system.
"""

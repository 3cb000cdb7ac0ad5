"""The audio loop, and the hot swap of models while it runs.

Imports synthesis, store, model, switches, audio, and the threads and console of the system.
"""

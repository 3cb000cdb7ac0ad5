"""Switch states in, samples out: variation, scores, frames, phase reconstruction, tape.

Imports model, switches, audio, and the threads of the system.
"""

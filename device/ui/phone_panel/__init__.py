"""The phone panel: a web page for the instrument, served by a process of its own.

It needs the standard library and h11; it imports nothing that computes sound, and talks to the
instrument by the control socket alone.
"""

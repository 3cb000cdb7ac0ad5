"""Recordings in numbers, and how far one collection of recordings is from another."""

"""Loops as the networks see them: spectrogram analysis, bands, descriptors, the dataset.

May import `corpus`, `metrics` and `networks`.
"""

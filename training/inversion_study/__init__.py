"""Study of the window of a spectrogram: time and error of its inversion, on one page.

It imports `training.reporting`, `metrics` and `corpus`, and `device`.
"""

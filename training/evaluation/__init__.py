"""Evaluation of a model: every state rendered, measured and reported on one page.

It imports `training.reporting`, `features`, `metrics` and `corpus`, and `device`.
"""

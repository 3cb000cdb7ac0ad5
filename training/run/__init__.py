"""One training: its configuration, its folder, its stages.

May import `switch_axes`, `features`, `networks`, `metrics`, `reporting` and `corpus`.
"""

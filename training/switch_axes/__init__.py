"""The axes that switches move along: directions found in a latent space, or labels.

May import `features`, `corpus`, `metrics` and `networks`.
"""

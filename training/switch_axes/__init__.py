"""What a switch changes: directions found in a latent space, or labels.

May import `features`, `corpus`, `metrics` and `networks`.
"""

"""Every state of a model rendered, measured and put on one page."""

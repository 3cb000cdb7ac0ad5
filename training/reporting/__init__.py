"""Progress, text and HTML shared by all reports; imports `training.metrics` and `device`."""

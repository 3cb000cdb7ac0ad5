"""Metrics of recordings, and distances between recordings; imports `device` alone."""

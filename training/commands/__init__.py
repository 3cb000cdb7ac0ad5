"""The verbs `corpus`, `train`, `study` and `audition`."""

"""The audition: every state of a model heard, measured, and put on one page."""

"""The networks and their losses; imports torch alone, and nothing of the other packages."""

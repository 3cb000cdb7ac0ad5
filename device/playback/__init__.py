"""The loop that plays, and how one model takes the place of another while it plays."""

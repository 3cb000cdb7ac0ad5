"""Recorded music as a corpus: a folder of files or the Free Music Archive."""

"""Music that others made, as a corpus: a folder of files or the Free Music Archive."""

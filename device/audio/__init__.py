"""Sound out and sound measured: cards, recordings, resampling, loudness."""

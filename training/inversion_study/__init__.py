"""What a spectrogram's window costs, and what it does to the sound."""

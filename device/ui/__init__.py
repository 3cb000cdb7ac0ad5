"""What a person or systemd is told: terminal, LEDs, status file, notifications."""

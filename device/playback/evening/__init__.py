"""What the instrument does by itself of an evening: sleep, wake, be quiet, wander."""

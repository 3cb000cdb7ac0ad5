"""The compiled inner loops of the inversion and the tape, and the classes that call them."""

"""Drawings in real millimetres, to print: the faceplate and what any drawing consists of."""

"""The log of a performance and its exact rendering; the last minutes, and what is kept."""

"""A seeded generator of lo-fi loops: a corpus needs no download and no licence."""

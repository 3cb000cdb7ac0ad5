"""The studio: a seeded generator of lo-fi loops. A corpus needs no download and no licence."""

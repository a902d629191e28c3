"""Define and run fixed protocols: which images make the map, which are queries, and how these are scored."""

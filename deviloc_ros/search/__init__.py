"""Search the places of a map that an image fits, and tell one from several."""

"""Read posed images: each layout and recording that people have, one module each."""

"""Turn posed images into a map."""

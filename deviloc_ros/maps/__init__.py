"""Keep reference views and their index as files: the map on disk."""

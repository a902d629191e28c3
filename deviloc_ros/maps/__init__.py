"""Store a map on disk: its reference views and their index."""

"""The map on disk."""

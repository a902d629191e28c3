"""Posed images -> a map."""

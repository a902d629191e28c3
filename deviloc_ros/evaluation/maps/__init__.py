"""How good a map is, and its page."""

"""Implement each command in a module: `add` declares its arguments, `run` does the work and returns the status."""

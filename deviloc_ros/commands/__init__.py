"""Hold one module per command: `add` states its arguments, `run` does the work and returns the exit status."""

"""Run many tasks of one kind, in this process or on many machines."""

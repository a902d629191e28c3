"""Do many pieces of work of one kind, here or on many machines."""

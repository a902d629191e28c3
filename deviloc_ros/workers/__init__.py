"""Who does many pieces of work of one kind."""

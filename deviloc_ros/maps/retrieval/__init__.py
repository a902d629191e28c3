"""Choose the views of a map that a query is matched with."""

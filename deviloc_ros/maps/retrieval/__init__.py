"""Choose which views of a map a query is matched with."""

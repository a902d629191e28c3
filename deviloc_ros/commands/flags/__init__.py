"""Define flags that several commands share."""

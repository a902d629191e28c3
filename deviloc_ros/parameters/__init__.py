"""Define the node's own parameters, and read parameter files of commands and nodes."""

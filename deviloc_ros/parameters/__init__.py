"""Know the node's own parameters, and read the files that give parameters to commands and to nodes."""

"""Search a map for the places that an image fits, and decide whether there is only one."""

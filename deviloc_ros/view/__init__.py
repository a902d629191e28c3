"""Show a page to watch a robot: the map, the pose with its ellipsoid, the matches, the state and its reason."""

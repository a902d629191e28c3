"""Make and serve a web page to watch a robot: the map, the pose with its ellipsoid, matches, state and reason."""

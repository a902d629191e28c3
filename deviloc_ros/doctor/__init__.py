"""Find what keeps a machine or a map from localizing."""

"""Evaluate recordings against a map: every image localized as the node would, scored, summed up."""

"""Evaluate recordings against a map: localize every image as the node would, score and summarize."""

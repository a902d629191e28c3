"""Posed images from what a robot recorded: keyframes of a bag, and the poses it knew."""

"""Compute structure from images: matches, landmarks, and poses that fit them."""

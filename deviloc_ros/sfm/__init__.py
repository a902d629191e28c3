"""Derive structure from images: matches, landmarks, and poses fitted to them."""

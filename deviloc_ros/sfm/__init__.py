"""Structure from motion: matches, landmarks, and poses fitted to the images."""

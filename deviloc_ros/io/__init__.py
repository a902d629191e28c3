"""Files: written whole or not at all, trajectories, figures, pictures of matches."""

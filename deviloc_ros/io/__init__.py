"""Write files: complete or not at all, trajectories, figures, pictures of matches."""

"""Write a run, or several side by side, as one HTML file that needs nothing else."""

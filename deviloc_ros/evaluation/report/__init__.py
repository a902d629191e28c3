"""Write a run, or several for comparison, as one self-contained HTML file."""

"""What the released DeViLoc weights need to run as the paper's code ran them: its PIN, its landmarks, its CPA."""

"""Run the released DeViLoc weights as the paper's code ran them: its PIN, its landmarks, its CPA."""

"""Train the paper's network on MegaDepth, in the layout its authors publish."""

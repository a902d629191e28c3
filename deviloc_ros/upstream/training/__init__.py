"""The paper's training of its network, on MegaDepth in the layout its authors publish."""

"""Hold programs around the node: the doctor, replay, evaluation in real time."""

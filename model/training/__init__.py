"""Training on one or many replicas: the step, the loop, the state."""

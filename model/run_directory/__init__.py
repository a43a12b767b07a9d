"""A training run on disk: its configuration, checkpoints, lock and metrics."""

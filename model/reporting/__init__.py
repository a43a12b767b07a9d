"""What a run has learned, in tables and pictures."""

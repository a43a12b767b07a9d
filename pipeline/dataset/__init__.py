"""The dataset directory: its records, its metadata, and how both are written and read."""

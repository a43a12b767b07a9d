"""Verification of a dataset directory: every byte against its metadata."""

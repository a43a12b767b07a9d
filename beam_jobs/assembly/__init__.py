"""Fragments of raw input assembled to whole sequences."""

"""The batch plan of an epoch, from the histogram of lengths. NumPy only."""

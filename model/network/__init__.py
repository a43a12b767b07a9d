"""The autoencoder: its layers, its architecture, its anomaly score."""

"""Inference with a trained model: embeddings, anomaly scores, p-values."""

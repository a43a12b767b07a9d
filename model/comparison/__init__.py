"""The known answers to masking an LSTM autoencoder, side by side."""

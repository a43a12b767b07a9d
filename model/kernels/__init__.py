"""Recurrent kernels over packed sequences: band by band, timestep by timestep, or by cuDNN."""

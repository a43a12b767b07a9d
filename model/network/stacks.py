"""The recurrent layers of encoder and decoder, one upon another."""

from __future__ import annotations

import keras

from padless.model.network.architecture import Architecture
from padless.model.network.recurrent import Recurrent


def make_encoder(architecture: Architecture, dtype: keras.DTypePolicy) -> list[Recurrent]:
    """Makes layers whose last returns one vector."""
    return [
        Recurrent(
            architecture.cell,
            architecture.units,
            bidirectional=architecture.bidirectional,
            return_sequences=i < architecture.layers - 1,
            pooling=architecture.pooling,
            dropout=architecture.dropout,
            masked=architecture.align().masks_encoder,
            name=f"encoder_{i}",
            dtype=dtype,
        )
        for i in range(architecture.layers)
    ]


def make_decoder(
    architecture: Architecture, width: int, dtype: keras.DTypePolicy
) -> list[Recurrent]:
    """Makes layers that all return sequences; without a head the last gives the patch itself."""
    units = [architecture.units] * architecture.layers
    if not architecture.linear_head:
        units[-1] = width
    return [
        Recurrent(
            architecture.cell,
            size,
            return_sequences=True,
            dropout=architecture.dropout,
            masked=architecture.align().masks_decoder,
            name=f"decoder_{i}",
            dtype=dtype,
        )
        for i, size in enumerate(units)
    ]


def build_stack(layers: list[Recurrent], width: int | None) -> int | None:
    """Builds layers one upon another and returns the width of the last one's output."""
    for layer in layers:
        layer.build((None, None, width))
        width = layer.compute_output_shape((None, None, width))[-1]
    return width

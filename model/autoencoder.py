"""The sequence autoencoder: a recurrent encoder, a repeat of any length, a recurrent decoder."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from padless.model.layers import DynamicRepeat, FusedLSTM, Standardize
from padless.pipeline.moments import Moments

CELLS = {"lstm": FusedLSTM, "gru": keras.layers.GRU}


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """What the autoencoder is built of.

    Attributes:
        latent_size: values in an embedding.
        units: size of the state of each recurrent layer, in encoder and decoder.
        layers: recurrent layers in the encoder, and as many in the decoder.
        cell: `"lstm"` or `"gru"`.
        bidirectional: whether the encoder also reads each sequence from its end.

    Raises:
        ValueError: if a size is below 1 or the cell is unknown.
    """

    latent_size: int = 32
    units: int = 64
    layers: int = 1
    cell: str = "lstm"
    bidirectional: bool = False

    def __post_init__(self):
        for name in ("latent_size", "units", "layers"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        if self.cell not in CELLS:
            raise ValueError(f"`cell` must be one of {sorted(CELLS)}, got {self.cell!r}.")


@keras.saving.register_keras_serializable(package="padless")
class SequenceAutoencoder(keras.Model):
    """Reconstructs sequences of any length from one vector each.

    It takes and gives raw units: normalisation by the training set's moments is a layer of the
    model. All sequences of a batch have one length, or `length` says how long each really is; the
    result for a sequence is the same either way.

    Args:
        num_features: values per timestep.
        architecture: sizes and kinds of layers; an `Architecture` or its fields as a dict.
        mean: mean of each feature `(features,)` in raw units; 0 if None.
        variance: variance of each feature `(features,)`; 1 if None. A feature whose variance is 0
            is only centred, as there is no scale to divide it by.

    Call arguments:
        sequence: `(batch, timesteps, features)`, raw units.
        length: valid timesteps of each row `(batch,)`, or None where all are.

    Returns:
        The reconstruction, `(batch, timesteps, features)`, raw units.
    """

    def __init__(self, num_features, architecture=None, mean=None, variance=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(architecture, Architecture):
            architecture = Architecture(**(architecture or {}))
        self.num_features = num_features
        self.architecture = architecture
        self.mean = [0.0] * num_features if mean is None else np.asarray(mean).tolist()
        self.variance = [1.0] * num_features if variance is None else np.asarray(variance).tolist()
        self.standardize = Standardize(self.mean, self.variance, name="standardize")
        self.encoder = _recurrent_stack(architecture, "encoder", architecture.bidirectional)
        self.latent = keras.layers.Dense(architecture.latent_size, name="latent")
        self.repeat = DynamicRepeat(name="repeat")
        self.decoder = _recurrent_stack(architecture, "decoder", bidirectional=False)
        # An LSTM as last layer could only give values between -1 and 1: the head is linear.
        self.head = keras.layers.Dense(num_features, name="head")
        self.build((None, None, num_features))

    @classmethod
    def for_moments(cls, moments: Moments, architecture: Architecture | None = None):
        """Builds the model for data with these moments."""
        return cls(len(moments.mean), architecture, moments.mean, moments.variance)

    def build(self, input_shape):
        """Creates the weights, for any batch size and any number of timesteps."""
        shape = (None, None, self.num_features)
        self.standardize.build(shape)
        width = _build_stack(self.encoder, self.num_features)
        self.latent.build((None, width))
        latent_shape = (None, self.architecture.latent_size)
        self.repeat.build(latent_shape, shape)
        width = _build_stack(self.decoder, self.architecture.latent_size)
        self.head.build((None, None, width))
        self.built = True

    def call(self, sequence, length=None):
        """Reconstructs `sequence`."""
        return self.standardize.invert(self._forward(sequence, length)[2])

    def embed(self, sequence, length=None):
        """Returns the embeddings, `(batch, latent_size)`, without running the decoder."""
        return self._encode(self.standardize(sequence), self._mask(sequence, length))

    def analyze(self, sequence, length=None):
        """Returns each sequence's embedding, score and error per feature.

        Returns:
            A dict of `embedding` `(batch, latent_size)`; `feature_error` `(batch, features)`, the
            squared error of the reconstruction averaged over the valid timesteps, in units of the
            feature's training variance; `score` `(batch,)`, the mean of `feature_error`.
        """
        embedding, target, reconstruction = self._forward(sequence, length)
        squared = keras.ops.square(reconstruction - target)
        mask = self._mask(sequence, length)
        if mask is None:
            feature_error = keras.ops.mean(squared, axis=1)
        else:
            valid = keras.ops.cast(mask, squared.dtype)[:, :, None]
            total = keras.ops.sum(squared * valid, axis=1)
            feature_error = total / keras.ops.sum(valid, axis=1)
        return {
            "embedding": embedding,
            "feature_error": feature_error,
            "score": keras.ops.mean(feature_error, axis=-1),
        }

    def get_config(self):
        """Returns the arguments that build this model again."""
        return super().get_config() | {
            "num_features": self.num_features,
            "architecture": dataclasses.asdict(self.architecture),
            "mean": self.mean,
            "variance": self.variance,
        }

    def _forward(self, sequence, length):
        """Returns embedding, standardized target and standardized reconstruction."""
        mask = self._mask(sequence, length)
        target = self.standardize(sequence)
        embedding = self._encode(target, mask)
        decoded = self.repeat(embedding, like=target)
        for layer in self.decoder:
            # No mask is needed: what follows the end of a sequence changes nothing before it.
            decoded = layer(decoded)
        return embedding, target, self.head(decoded)

    def _encode(self, standardized, mask):
        encoded = standardized
        for layer in self.encoder[:-1]:
            encoded = layer(encoded, mask=mask)
        return self.latent(self.encoder[-1](encoded, mask=mask))

    def _mask(self, sequence, length):
        """Tells valid timesteps from padded ones by the length: a true zero is data."""
        if length is None:
            return None
        timesteps = keras.ops.arange(keras.ops.shape(sequence)[1])
        return timesteps[None, :] < keras.ops.cast(length, timesteps.dtype)[:, None]


def _recurrent_stack(architecture: Architecture, name: str, bidirectional: bool) -> list:
    """Makes the layers of an encoder, whose last returns one vector, or of a decoder."""
    layers = []
    for i in range(architecture.layers):
        last = i == architecture.layers - 1
        layer = CELLS[architecture.cell](
            architecture.units,
            return_sequences=name == "decoder" or not last,
            name=f"{name}_{i}",
        )
        if bidirectional:
            layer = keras.layers.Bidirectional(layer, name=layer.name)
        layers.append(layer)
    return layers


def _build_stack(layers: list, width: int) -> int:
    """Builds layers one upon another and returns the width of the last one's output."""
    for layer in layers:
        layer.build((None, None, width))
        width = layer.compute_output_shape((None, None, width))[-1]
    return width

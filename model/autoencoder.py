"""The sequence autoencoder: a recurrent encoder, a repeat of any length, a recurrent decoder."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from padless.model.layers import DynamicRepeat, Standardize
from padless.model.recurrent import CELLS, Recurrent
from padless.pipeline.moments import Moments

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True, slots=True)
class Architecture:
    """What the autoencoder is built of.

    Attributes:
        latent_size: values in an embedding.
        units: size of the state of each recurrent layer, in encoder and decoder.
        layers: recurrent layers in the encoder, and as many in the decoder.
        cell: `"lstm"` or `"gru"`.
        bidirectional: whether the encoder also reads each sequence from its end.
        dropout: share of the inputs of each recurrent layer dropped in training.

    Raises:
        ValueError: if a size is below 1, the cell is unknown, or `dropout` is not in [0, 1).
    """

    latent_size: int = 32
    units: int = 64
    layers: int = 1
    cell: str = "lstm"
    bidirectional: bool = False
    dropout: float = 0.0

    def __post_init__(self):
        for name in ("latent_size", "units", "layers"):
            if (value := getattr(self, name)) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")
        if self.cell not in CELLS:
            raise ValueError(f"`cell` must be one of {sorted(CELLS)}, got {self.cell!r}.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be at least 0 and below 1, got {self.dropout}.")


@keras.saving.register_keras_serializable(package="padless")
class SequenceAutoencoder(keras.Model):
    """Reconstructs sequences of any length from one vector each.

    It takes and gives raw units: normalisation by the training set's moments is a layer of the
    model. All sequences of a batch have one length, or `length` says how long each really is; the
    result for a sequence and its gradient are the same either way.

    In mixed precision the recurrent layers compute in 16 bits. Weights, the standardized values,
    embeddings, the head, errors and scores are float32 in any case.

    Args:
        num_features: values per timestep.
        architecture: sizes and kinds of layers; an `Architecture` or its fields as a dict.
        mean: mean of each feature `(features,)` in raw units; 0 if None.
        variance: variance of each feature `(features,)`; 1 if None. A feature whose variance is 0
            is only centred, as there is no scale to divide it by.
        kwargs: `name`, and `dtype`: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`, or a
            policy of that name; Keras' global policy if None.

    Call arguments:
        sequence: `(batch, timesteps, features)`, raw units.
        length: valid timesteps of each row `(batch,)`, integers from 1 to `timesteps`, or None
            where all are. What stands behind them may have any value.
        training: whether to drop what `Architecture.dropout` says.

    Returns:
        The reconstruction, `(batch, timesteps, features)` float32, raw units; 0 behind the length.

    Raises:
        ValueError: if `dtype` is another policy.
    """

    def __init__(self, num_features, architecture=None, mean=None, variance=None, **kwargs):
        # Raw values can lie outside the range of float16: they are cast when standardized.
        super().__init__(autocast=False, **kwargs)
        if (precision := self.dtype_policy.name) not in PRECISIONS:
            raise ValueError(f"`dtype` must be one of {PRECISIONS}, got {precision!r}.")
        if not isinstance(architecture, Architecture):
            architecture = Architecture(**(architecture or {}))
        self.num_features = num_features
        self.architecture = architecture
        self.mean = [0.0] * num_features if mean is None else np.asarray(mean).tolist()
        self.variance = [1.0] * num_features if variance is None else np.asarray(variance).tolist()
        whole = {"dtype": "float32"}
        self.standardize = Standardize(self.mean, self.variance, name="standardize", **whole)
        self.encoder = _encoder(architecture, self.dtype_policy)
        self.latent = keras.layers.Dense(architecture.latent_size, name="latent", **whole)
        self.repeat = DynamicRepeat(name="repeat", **whole)
        self.decoder = _decoder(architecture, self.dtype_policy)
        # An LSTM as last layer could only give values between -1 and 1: the head is linear.
        self.head = keras.layers.Dense(num_features, name="head", **whole)
        self.build((None, None, num_features))

    @classmethod
    def for_moments(
        cls,
        moments: Moments,
        architecture: Architecture | None = None,
        *,
        precision: str = "float32",
    ):
        """Builds the model for data with these moments.

        Args:
            moments: mean and variance of each feature.
            architecture: what to build.
            precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.

        Raises:
            ValueError: if the precision is unknown.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"`precision` must be one of {PRECISIONS}, got {precision!r}.")
        return cls(len(moments.mean), architecture, moments.mean, moments.variance, dtype=precision)

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

    def call(self, sequence, length=None, training=False):
        """Reconstructs `sequence`."""
        _, _, reconstruction = self._forward(sequence, length, training)
        return _blank(self.standardize.invert(reconstruction), length)

    def embed(self, sequence, length=None, training=False):
        """Returns the embeddings, `(batch, latent_size)`, without running the decoder."""
        return self._encode(_blank(self.standardize(sequence), length), length, training)

    def analyze(self, sequence, length=None, training=False):
        """Returns each sequence's embedding, score and error per feature.

        Returns:
            A dict of float32: `embedding` `(batch, latent_size)`; `feature_error`
            `(batch, features)`, the squared error of the reconstruction averaged over the valid
            timesteps, in units of the feature's training variance; `score` `(batch,)`, the mean of
            `feature_error`.
        """
        embedding, target, reconstruction = self._forward(sequence, length, training)
        squared = keras.ops.square(_blank(reconstruction, length) - target)
        if length is None:
            feature_error = keras.ops.mean(squared, axis=1)
        else:
            timesteps = tf.cast(length, squared.dtype)
            feature_error = keras.ops.sum(squared, axis=1) / timesteps[:, None]
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

    def _forward(self, sequence, length, training):
        """Returns embedding, standardized target and standardized reconstruction."""
        target = _blank(self.standardize(sequence), length)
        embedding = self._encode(target, length, training)
        decoded = self.repeat(embedding, like=target)
        for layer in self.decoder:
            # It reads from the start alone: what follows an end changes nothing before it.
            decoded = layer(decoded, training=training)
        return embedding, target, self.head(decoded)

    def _encode(self, standardized, length, training):
        encoded, length = standardized, None if length is None else tf.convert_to_tensor(length)
        for layer in self.encoder:
            encoded = layer(encoded, length=length, training=training)
        return self.latent(encoded)


def _blank(sequence, length):
    """Sets what stands behind the end of each sequence to 0, and its gradient too.

    By choice, not by product: 0 times a value that is not finite would not be 0.
    """
    if length is None:
        return sequence
    valid = tf.sequence_mask(length, tf.shape(sequence)[1])
    return tf.where(valid[:, :, None], sequence, 0.0)


def _encoder(architecture: Architecture, dtype) -> list[Recurrent]:
    """Makes layers whose last returns one vector."""
    return [
        Recurrent(
            architecture.cell,
            architecture.units,
            bidirectional=architecture.bidirectional,
            return_sequences=i < architecture.layers - 1,
            dropout=architecture.dropout,
            name=f"encoder_{i}",
            dtype=dtype,
        )
        for i in range(architecture.layers)
    ]


def _decoder(architecture: Architecture, dtype) -> list[Recurrent]:
    """Makes layers that all return sequences."""
    return [
        Recurrent(
            architecture.cell,
            architecture.units,
            return_sequences=True,
            dropout=architecture.dropout,
            name=f"decoder_{i}",
            dtype=dtype,
        )
        for i in range(architecture.layers)
    ]


def _build_stack(layers: list[Recurrent], width: int) -> int:
    """Builds layers one upon another and returns the width of the last one's output."""
    for layer in layers:
        layer.build((None, None, width))
        width = layer.compute_output_shape((None, None, width))[-1]
    return width

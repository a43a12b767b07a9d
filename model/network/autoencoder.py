"""The sequence autoencoder: a recurrent encoder, a repeat of any length, a recurrent decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from padless.model.network.anomaly_score import AnomalyScore
from padless.model.network.architecture import PRECISIONS, Architecture
from padless.model.network.keras_steps import ReconstructionModel, sequences_of
from padless.model.network.layers import Array, DynamicRepeat, Shape, Standardize
from padless.model.network.patches import Patches
from padless.model.network.recurrent import Recurrent, blank, valid_timesteps
from padless.pipeline.batching.packing import PackedSequences, Packing
from padless.pipeline.dataset.moments import Moments

# Vectors in the state of a recurrent layer.
_STATES = {"lstm": 2, "gru": 1}


@keras.saving.register_keras_serializable(package="padless")
class SequenceAutoencoder(ReconstructionModel):
    """Reconstructs sequences of any length from one vector each.

    It takes and gives raw units: standardization by the training set's moments is a layer of the
    model. A batch is packed, or rectangular: then all its sequences have one length, or `length`
    says how long each is. The result for a sequence and its gradient are the same each way.

    Its anomaly score is fitted when training ends, see `padless.model.scoring.anomaly_fit`.

    In mixed precision the recurrent layers compute in 16 bits. Weights, the standardized values,
    embeddings, the head, errors and scores are float32 in any case.

    Args:
        num_features: values per timestep.
        architecture: sizes and kinds of layers; an `Architecture` or its fields as a dict.
        mean: mean of each feature `(features,)` in raw units; 0 if None.
        variance: variance of each feature `(features,)`; 1 if None. A feature whose variance is 0
            is only centred, as there is no scale to divide it by.
        longest: timesteps that the alignment `padded` pads every sequence to; the others do not
            need it.
        kwargs: `name`, and `dtype`: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`, or a
            policy of that name; Keras' global policy if None.

    Keras' `compile`, `fit`, `evaluate` and `predict` take our batches, see `ReconstructionModel`.

    Call arguments:
        sequence: `(batch, timesteps, features)`, raw units; or `PackedSequences`, which alignments
            other than `dynamic_repeat` pad to the longest; or a batch of
            `padless.pipeline.packed_steps` or `equal_length_batches`, and its length with it.
        length: valid timesteps of each row `(batch,)`, integers from 1 to `timesteps`, or None
            where all are. The timesteps after them may have any value.
        training: whether to drop what `Architecture.dropout` says.

    Returns:
        The reconstruction, `(batch, timesteps, features)` float32, raw units; 0 after the length;
        of packed sequences packed as they are, `(timesteps of all rows, features)`.

    Raises:
        ValueError: if `dtype` is another policy, or the alignment needs `longest`; when called, if
            packed sequences come with a length.
        tf.errors.InvalidArgumentError: when called, if a sequence is longer than `longest`.
    """

    def __init__(
        self,
        num_features: int,
        architecture: Architecture | Mapping[str, Any] | None = None,
        mean: Sequence[float] | np.ndarray | None = None,
        variance: Sequence[float] | np.ndarray | None = None,
        longest: int | None = None,
        **kwargs: Any,
    ):
        # Raw values can lie outside the range of float16: they are cast when standardized.
        super().__init__(autocast=False, **kwargs)
        if (precision := self.dtype_policy.name) not in PRECISIONS:
            raise ValueError(f"`dtype` must be one of {PRECISIONS}, got {precision!r}.")
        if not isinstance(architecture, Architecture):
            architecture = Architecture(**(architecture or {}))
        self.supports_jit = False  # XLA would compile the model anew for every length
        self.alignment = architecture.align()
        if self.alignment.counts_padding and longest is None:
            raise ValueError(
                f"`longest` must be given for the alignment {architecture.alignment!r}, got None."
            )
        self.num_features = num_features
        self.architecture = architecture
        self.longest = longest
        self.mean = [0.0] * num_features if mean is None else np.asarray(mean).tolist()
        self.variance = [1.0] * num_features if variance is None else np.asarray(variance).tolist()
        whole = {"dtype": "float32"}
        self.standardize = Standardize(self.mean, self.variance, name="standardize", **whole)
        self.encoder = _encoder(architecture, self.dtype_policy)
        self.latent = keras.layers.Dense(architecture.latent_size, name="latent", **whole)
        self.repeat = DynamicRepeat(name="repeat", **whole)
        patch_width = architecture.patch_length * num_features
        self.decoder = _decoder(architecture, patch_width, self.dtype_policy)
        self.initial_state = [
            keras.layers.Dense(
                _STATES[architecture.cell] * layer.units,
                activation="tanh",
                name=f"initial_state_{i}",
                **whole,
            )
            for i, layer in enumerate(self.decoder)
            if architecture.initial_state
        ]
        # An LSTM as last layer could only give values between -1 and 1: the head is linear.
        self.head = None
        if architecture.linear_head:
            self.head = keras.layers.Dense(patch_width, name="head", **whole)
        self.anomaly_score = AnomalyScore(name="anomaly_score", **whole)
        self.build((None, None, num_features))

    @classmethod
    def for_moments(
        cls,
        moments: Moments,
        architecture: Architecture | None = None,
        *,
        precision: str = "float32",
        longest: int | None = None,
    ) -> SequenceAutoencoder:
        """Builds the model for data with these moments.

        Args:
            moments: mean and variance of each feature.
            architecture: what to build.
            precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`.
            longest: timesteps that the alignment `padded` pads to.

        Raises:
            ValueError: if the precision is unknown, or the alignment needs `longest`.
        """
        if precision not in PRECISIONS:
            raise ValueError(f"`precision` must be one of {PRECISIONS}, got {precision!r}.")
        return cls(
            len(moments.mean),
            architecture,
            moments.mean,
            moments.variance,
            longest=longest,
            dtype=precision,
        )

    def build(self, input_shape: Shape) -> None:
        """Creates the weights, for any batch size and any number of timesteps."""
        shape = (None, None, self.num_features)
        self.standardize.build(shape)
        patch_width = self.architecture.patch_length * self.num_features
        width = _build_stack(self.encoder, patch_width)
        self.latent.build((None, width))
        latent_shape = (None, self.architecture.latent_size)
        self.repeat.build(latent_shape, shape)
        width = _build_stack(self.decoder, self.architecture.latent_size)
        for layer in self.initial_state:
            layer.build(latent_shape)
        if self.head:
            self.head.build((None, None, width))
        self.anomaly_score.build(latent_shape, (None,))
        self.built = True

    def call(
        self,
        sequence: Array | PackedSequences | Mapping[str, Array],
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Reconstructs `sequence`."""
        if isinstance(sequence, Mapping):
            sequence, length = sequences_of(sequence)
        values, length = self._values_and_ends(sequence, length)
        _, _, reconstruction = self._forward(values, length, training)
        return self._in_raw_units(reconstruction, sequence, length)

    def embed(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns the embeddings, `(batch, latent_size)`, without running the decoder."""
        sequence, length = self._values_and_ends(sequence, length)
        standardized, known = self._prepare(sequence, length)
        patches = Patches.of(standardized, known, self.architecture.patch_length)
        return self._encode(patches.cut(standardized), patches.length, training)

    def analyze(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Returns each sequence's embedding, score and errors.

        Returns:
            A dict of float32: `embedding` `(batch, latent_size)`; `score` `(batch,)`, see
            `AnomalyScore`, NaN before training has ended; `feature_error` `(batch, features)`, the
            squared error of the reconstruction averaged over the valid timesteps, in units of the
            feature's training variance; `error` `(batch,)`, the mean of `feature_error`.
        """
        sequence, length = self._values_and_ends(sequence, length)
        embedding, target, reconstruction = self._forward(sequence, length, training)
        feature_error = _feature_error(target, reconstruction, sequence, length)
        error = keras.ops.mean(feature_error, axis=-1)
        return {
            "embedding": embedding,
            "score": self.anomaly_score(embedding, error),
            "error": error,
            "feature_error": feature_error,
        }

    def sequence_losses(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns what training minimises of each sequence, `(batch,)` float32.

        That is its error, but for two alignments: `masked_repeat` counts the last step that the
        decoder gives once more for each padded timestep, and `padded` takes the mean over all
        `longest` timesteps, whatever the length.
        """
        sequence, length = self._values_and_ends(sequence, length)
        _, target, reconstruction = self._forward(sequence, length, training)
        return self._losses_of(target, reconstruction, sequence, length)

    def reconstruct(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `sequence_losses` does, and what a call does, of one pass."""
        values, length = self._values_and_ends(sequence, length)
        _, target, reconstruction = self._forward(values, length, training)
        losses = self._losses_of(target, reconstruction, values, length)
        return losses, self._in_raw_units(reconstruction, sequence, length)

    def padded_length(self, length: np.ndarray) -> int:
        """Returns what the alignment, if it pads, pads packed sequences of these lengths to.

        Args:
            length: timesteps of each sequence, `(rows,)`.
        """
        if self.alignment.counts_padding and self.longest is not None:
            return self.longest
        return int(length.max())

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that build this model again."""
        return super().get_config() | {
            "num_features": self.num_features,
            "architecture": dataclasses.asdict(self.architecture),
            "mean": self.mean,
            "variance": self.variance,
            "longest": self.longest,
        }

    def _values_and_ends(
        self, sequence: Array | PackedSequences, length: Array | None
    ) -> tuple[Array, Array | Packing | None]:
        """Returns the values, and what says where each sequence ends."""
        if not isinstance(sequence, PackedSequences):
            return sequence, length
        if length is not None:
            raise ValueError("Packed sequences have their own length, but `length` was given too.")
        packing = Packing.of(sequence.length)
        if self.alignment.pads:
            return packing.pad(sequence.values), packing.length
        return sequence.values, packing

    def _prepare(
        self, sequence: Array, length: Array | Packing | None
    ) -> tuple[tf.Tensor, tf.Tensor | Packing | None]:
        """Returns the standardized values, 0 after the end, and the length that layers may know.

        Where padding counts as data they know none, and there are always `longest` timesteps.
        """
        if isinstance(length, Packing):
            return self.standardize(sequence), length
        standardized = blank(self.standardize(sequence), length)
        if self.alignment.counts_padding and self.longest is not None:
            return _pad(standardized, self.longest), None
        return standardized, None if length is None else tf.convert_to_tensor(length)

    def _forward(
        self, sequence: Array, length: Array | Packing | None, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns embedding, standardized target and standardized reconstruction."""
        target, known = self._prepare(sequence, length)
        patches = Patches.of(target, known, self.architecture.patch_length)
        inputs, known = patches.cut(target), patches.length
        embedding = self._encode(inputs, known, training)
        decoded = self.repeat(embedding, like=known if isinstance(known, Packing) else inputs)
        states: list[list[tf.Tensor] | None] = [None] * len(self.decoder)
        if self.initial_state:
            states = [self._split(layer(embedding)) for layer in self.initial_state]
        for layer, state in zip(self.decoder, states, strict=True):
            # It reads from the start alone: what follows an end changes nothing before it.
            decoded = layer(decoded, length=known, initial_state=state, training=training)
        given = tf.cast(decoded, tf.float32) if self.head is None else self.head(decoded)
        return embedding, target, patches.join(given)

    def _losses_of(
        self,
        target: tf.Tensor,
        reconstruction: tf.Tensor,
        sequence: Array,
        length: Array | Packing | None,
    ) -> tf.Tensor:
        if not (self.alignment.counts_tail or self.alignment.counts_padding):
            errors = _feature_error(target, reconstruction, sequence, length)
            return keras.ops.mean(errors, axis=-1)
        if self.alignment.counts_tail:
            target = _repeat_last(target, length)
        squared = keras.ops.mean(keras.ops.square(reconstruction - target), axis=-1)
        if length is None or self.alignment.counts_padding:
            return keras.ops.mean(squared, axis=-1)
        return keras.ops.sum(squared, axis=-1) / tf.cast(length, squared.dtype)

    def _in_raw_units(
        self,
        reconstruction: tf.Tensor,
        sequence: Array | PackedSequences,
        length: Array | Packing | None,
    ) -> tf.Tensor:
        """Returns the reconstruction as the sequences were given, packed or not."""
        raw = self.standardize.invert(reconstruction)
        if not isinstance(sequence, PackedSequences):
            return blank(raw[:, : tf.shape(sequence)[1]], length)
        return raw if isinstance(length, Packing) else Packing.of(sequence.length).unpad(raw)

    def _encode(
        self, standardized: tf.Tensor, length: tf.Tensor | Packing | None, training: bool
    ) -> tf.Tensor:
        for layer in self.encoder:
            standardized = layer(standardized, length=length, training=training)
        return self.latent(standardized)

    def _split(self, states: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(states, _STATES[self.architecture.cell], axis=-1)


def _feature_error(
    target: tf.Tensor,
    reconstruction: tf.Tensor,
    sequence: Array,
    length: Array | Packing | None,
) -> tf.Tensor:
    """Returns the squared error of each feature over valid timesteps, `(batch, features)`."""
    if isinstance(length, Packing):
        return length.mean(keras.ops.square(reconstruction - target))
    squared = keras.ops.square(blank(reconstruction - target, length))
    squared = squared[:, : tf.shape(sequence)[1]]
    if length is None:
        return keras.ops.mean(squared, axis=1)
    timesteps = tf.cast(length, squared.dtype)
    return keras.ops.sum(squared, axis=1) / timesteps[:, None]


def _pad(sequence: tf.Tensor, longest: int) -> tf.Tensor:
    """Pads `(batch, timesteps, features)` with zeros at the end to `longest` timesteps."""
    timesteps = tf.shape(sequence)[1]
    rule = f"the alignment `padded` takes sequences of at most {longest} timesteps, as it was built"
    with tf.control_dependencies([tf.debugging.assert_less_equal(timesteps, longest, rule)]):
        missing = longest - timesteps
    return tf.pad(sequence, [[0, 0], [0, missing], [0, 0]])


def _repeat_last(sequence: tf.Tensor, length: Array | None) -> tf.Tensor:
    """Fills the timesteps after the end of each sequence with its last valid one."""
    if length is None:
        return sequence
    last = tf.gather(sequence, length - 1, axis=1, batch_dims=1)
    valid = valid_timesteps(sequence, length)[:, :, None]
    return tf.where(valid, sequence, last[:, None, :])


def _encoder(architecture: Architecture, dtype: keras.DTypePolicy) -> list[Recurrent]:
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


def _decoder(architecture: Architecture, width: int, dtype: keras.DTypePolicy) -> list[Recurrent]:
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


def _build_stack(layers: list[Recurrent], width: int | None) -> int | None:
    """Builds layers one upon another and returns the width of the last one's output."""
    for layer in layers:
        layer.build((None, None, width))
        width = layer.compute_output_shape((None, None, width))[-1]
    return width

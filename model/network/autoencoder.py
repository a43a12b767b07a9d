"""The sequence autoencoder: a recurrent encoder, a repeat of any length, a recurrent decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from padless.model.network.anomaly_score import AnomalyScore, Traits
from padless.model.network.architecture import PRECISIONS, Architecture
from padless.model.network.keras_steps import ReconstructionModel, sequences_of
from padless.model.network.layers import Array, DynamicRepeat, Shape, Standardize
from padless.model.network.own_scale import NUM_POSITIONS, positions
from padless.model.network.patches import Patches
from padless.model.network.pooling import WIDTHS
from padless.model.network.prepared import Prepared
from padless.model.network.recurrent import blank
from padless.model.network.stacks import build_stack, make_decoder, make_encoder
from padless.pipeline.batching.packing import PackedSequences, Packing
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.wording import list_names

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
        sequence: `(batch, timesteps, features)`, raw units, NaN where a value is missing if the
            architecture `masks_missing`; or `PackedSequences`, which alignments
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
        *,
        longest: int | None = None,
        **kwargs: Any,
    ):
        # Raw values can lie outside the range of float16: they are cast when standardized.
        super().__init__(autocast=False, **kwargs)
        if (precision := self.dtype_policy.name) not in PRECISIONS:
            raise ValueError(f"`dtype` must be one of {list_names(PRECISIONS)}, got {precision!r}.")
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
        self.patch_length = architecture.patch_length or 1
        self.longest = longest
        self.mean = [0.0] * num_features if mean is None else np.asarray(mean).tolist()
        self.variance = [1.0] * num_features if variance is None else np.asarray(variance).tolist()
        whole = {"dtype": "float32"}
        self.standardize = Standardize(self.mean, self.variance, name="standardize", **whole)
        self.encoder = make_encoder(architecture, self.dtype_policy)
        self.latent = keras.layers.Dense(architecture.latent_size, name="latent", **whole)
        self.repeat = DynamicRepeat(name="repeat", **whole)
        patch_width = self.patch_length * num_features
        self.decoder = make_decoder(architecture, patch_width, self.dtype_policy)
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
            raise ValueError(
                f"`precision` must be one of {list_names(PRECISIONS)}, got {precision!r}."
            )
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
        architecture, shape = self.architecture, (None, None, self.num_features)
        self.standardize.build(shape)
        inputs = self.num_features * architecture.inputs_per_feature
        width = build_stack(self.encoder, self.patch_length * inputs)
        self.latent.build((None, width))
        latent_shape = (None, architecture.latent_size)
        self.repeat.build(latent_shape, shape)
        told = NUM_POSITIONS if architecture.position else 0
        width = build_stack(self.decoder, architecture.latent_size + told)
        for layer in self.initial_state:
            layer.build(latent_shape)
        if self.head:
            self.head.build((None, None, width))
        self.anomaly_score.build((None, self.pooled_size), (None, 2 * self.num_features))
        self.built = True

    @property
    def pooled_size(self) -> int:
        """Values that the outputs of the encoder are pooled to."""
        architecture = self.architecture
        directions = 2 if architecture.bidirectional else 1
        return WIDTHS[architecture.pooling] * architecture.units * directions

    @property
    def embedding_size(self) -> int:
        """Values in an embedding."""
        if self.architecture.embedding == "pooled":
            return self.pooled_size
        level = 2 * self.num_features if self.architecture.own_scale else 0
        return self.architecture.latent_size + level

    def call(
        self,
        sequence: Array | PackedSequences | Mapping[str, Array],
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Reconstructs `sequence`."""
        if isinstance(sequence, Mapping):
            sequence, length = sequences_of(sequence)
        prepared = self._prepare(sequence, length)
        return self._in_raw_units(prepared, self._reconstruct(prepared, training)[-1], sequence)

    def embed(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns the embeddings, `(batch, embedding_size)`, without running the decoder."""
        prepared = self._prepare(sequence, length)
        pooled = self._encode(prepared, self._patches(prepared), training)
        return self._embedding(prepared, pooled, self.latent(pooled))

    def analyze(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
        *,
        timesteps: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Returns each sequence's embedding, score and errors.

        Args:
            sequence: as the model is called with.
            length: likewise.
            training: likewise.
            timesteps: whether to return `timestep_error` too.

        Returns:
            A dict of float32: `embedding` `(batch, embedding_size)`; `score` `(batch,)`, see
            `AnomalyScore`, NaN before training has ended; `feature_error` `(batch, features)`, the
            squared error of the reconstruction averaged over the valid timesteps, in units of the
            feature's training variance, NaN for a feature of which all values are missing;
            `timestep_error`, the same of each timestep, `(batch, timesteps, features)`, of packed
            sequences packed as they are, NaN where a value is missing; `error` `(batch,)`, the mean
            of `feature_error`; `unexplained` `(batch,)`, the same as a share of the sequence's own
            variance, 1 - R²; `pooled` `(batch, pooled_size)` and `level` `(batch, 2 * features)`,
            what the score is computed from besides, see `Traits`.
        """
        prepared = self._prepare(sequence, length)
        pooled, latent, given = self._reconstruct(prepared, training)
        feature_error = prepared.errors_on_training_scale(given)
        error = prepared.mean_of_features(feature_error)
        unexplained = error / prepared.variance()
        if (has_values := prepared.has_values()) is not None:
            feature_error = tf.where(has_values, feature_error, float("nan"))
        traits = Traits(pooled, prepared.scale.level(), error, unexplained)
        found = {
            "embedding": self._embedding(prepared, pooled, latent),
            "score": self.anomaly_score(*traits),
            "feature_error": feature_error,
            **traits._asdict(),
        }
        if timesteps:
            by_timestep = prepared.timestep_errors(given)
            found["timestep_error"] = _as_given(by_timestep, prepared, sequence)
        return found

    def sequence_losses(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Returns what training minimises of each sequence, `(batch,)` float32.

        That is its mean squared error over valid timesteps and features, on its own scale: the
        share of its variance that the model does not explain, and infinite where `error` is.
        Without `own_scale` it is `error`.

        Two alignments differ: `masked_repeat` counts the last step that the decoder gives once more
        for each padded timestep, and `padded` takes the mean over all `longest` timesteps, whatever
        the length.
        """
        prepared = self._prepare(sequence, length)
        return prepared.losses(self._reconstruct(prepared, training)[-1], self.alignment)

    def reconstruct(
        self,
        sequence: Array | PackedSequences,
        length: Array | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `sequence_losses` does, and what a call does, of one pass."""
        prepared = self._prepare(sequence, length)
        *_, given = self._reconstruct(prepared, training)
        losses = prepared.losses(given, self.alignment)
        return losses, self._in_raw_units(prepared, given, sequence)

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

    def _prepare(self, sequence: Array | PackedSequences, length: Array | None) -> Prepared:
        """Prepares the sequences; those that are packed are padded if the alignment does."""
        ends: tf.Tensor | Packing | None = None if length is None else tf.convert_to_tensor(length)
        if isinstance(sequence, PackedSequences):
            if length is not None:
                raise ValueError(
                    "Packed sequences have their own length, but `length` was given too."
                )
            ends, sequence = Packing.of(sequence.length), sequence.values
            if self.alignment.pads:
                ends, sequence = ends.length, ends.pad(sequence)
        return Prepared.of(
            tf.cast(sequence, self.standardize.compute_dtype),
            ends,
            self.standardize,
            own_scale=self.architecture.own_scale,
            masks_missing=self.architecture.masks_missing,
            longest=self.longest if self.alignment.counts_padding else None,
        )

    def _patches(self, prepared: Prepared) -> Patches:
        return Patches.of(prepared.inputs, prepared.known, self.patch_length)

    def _encode(self, prepared: Prepared, patches: Patches, training: bool) -> tf.Tensor:
        """Returns what the encoder's outputs are pooled to."""
        encoded = patches.cut(prepared.inputs)
        if self.compute_dtype == "float16":
            # Beyond its range a value would become infinite, and what is computed of it NaN.
            encoded = tf.clip_by_value(encoded, tf.float16.min, tf.float16.max)
        for layer in self.encoder:
            encoded = layer(encoded, length=patches.length, training=training)
        return encoded

    def _reconstruct(
        self, prepared: Prepared, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns what is pooled, the latent vectors and what is given for the target."""
        patches = self._patches(prepared)
        pooled = self._encode(prepared, patches, training)
        latent = self.latent(pooled)
        return pooled, latent, patches.join(self._decode(latent, prepared, patches, training))

    def _decode(
        self, latent: tf.Tensor, prepared: Prepared, patches: Patches, training: bool
    ) -> tf.Tensor:
        known = patches.length
        like = known if isinstance(known, Packing) else patches.cut(prepared.inputs)
        decoded = self.repeat(latent, like=like)
        if self.architecture.position:
            decoded = tf.concat((decoded, positions(decoded, known)), axis=-1)
        states: list[list[tf.Tensor] | None] = [None] * len(self.decoder)
        if self.initial_state:
            states = [self._split(layer(latent)) for layer in self.initial_state]
        for layer, state in zip(self.decoder, states, strict=True):
            # It reads from the start alone: what follows an end changes nothing before it.
            decoded = layer(decoded, length=known, initial_state=state, training=training)
        return tf.cast(decoded, tf.float32) if self.head is None else self.head(decoded)

    def _embedding(self, prepared: Prepared, pooled: tf.Tensor, latent: tf.Tensor) -> tf.Tensor:
        if self.architecture.embedding == "pooled":
            return pooled
        if not prepared.is_own:
            return latent
        return tf.concat((latent, prepared.scale.level()), axis=-1)

    def _in_raw_units(
        self, prepared: Prepared, given: tf.Tensor, sequence: Array | PackedSequences
    ) -> tf.Tensor:
        """Returns the reconstruction, 0 after the end of a sequence."""
        raw = self.standardize.invert(prepared.on_training_scale(given))
        if not isinstance(sequence, PackedSequences):
            raw = blank(raw, prepared.length)
        return _as_given(raw, prepared, sequence)

    def _split(self, states: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(states, _STATES[self.architecture.cell], axis=-1)


def _as_given(
    values: tf.Tensor, prepared: Prepared, sequence: Array | PackedSequences
) -> tf.Tensor:
    """Returns the values of timesteps packed, if the sequences were and the alignment pads them."""
    if isinstance(sequence, PackedSequences) and not isinstance(prepared.length, Packing):
        return Packing.of(sequence.length).unpad(values)
    return values

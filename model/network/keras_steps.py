"""The steps of Keras' `fit`, `evaluate` and `predict` on batches of padless.

Keras averages the loss over batches and over padded timesteps alike. Here the loss of an epoch is

    sum of weight * loss over all sequences / sum of weights

as in `padless train`, whose steps do the same on several replicas.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from padless.model.network.recurrent import valid_timesteps
from padless.pipeline.batching.packing import PackedSequences, Packing


class ReconstructionModel(keras.Model, abc.ABC):
    """A model of sequences that Keras' methods train, evaluate and run on batches of padless.

    A batch is what `padless.pipeline.packed_steps` or `equal_length_batches` yields, an array
    `(batch, timesteps, features)`, or a dict of it as `sequence`, `length` and `weight`.

    Compiled without `loss`, it minimises what `reconstruct` says of each sequence. Compiled with
    one, it minimises that between the sequence and its reconstruction, in raw units, at valid
    timesteps. `weighted_metrics` compare these two at valid timesteps as well.

    Under a strategy of several replicas use `padless.model.train`: `fit` averages the means of
    replicas that hold unequal work.
    """

    @abc.abstractmethod
    def reconstruct(
        self,
        sequence: tf.Tensor | PackedSequences,
        length: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each sequence `(batch,)`, and what the model returns for them."""

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on one batch; Keras calls this from `fit`."""
        inputs, target, weight = _unpack(data)
        if self._minimises_another_loss(target):
            return super().train_step((inputs, target, weight))
        with tf.GradientTape() as tape:
            loss, reconstruction = self._weighted_loss(inputs, weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [v.value for v in self.trainable_variables])
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.compute_metrics(inputs, target, reconstruction, weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Measures one batch; Keras calls this from `evaluate` and to validate."""
        inputs, target, weight = _unpack(data)
        if self._minimises_another_loss(target):
            return super().test_step((inputs, target, weight))
        _, reconstruction = self._weighted_loss(inputs, weight, training=False)
        return self.compute_metrics(inputs, target, reconstruction, weight)

    def predict_step(self, data: Any) -> tf.Tensor:
        """Reconstructs one batch; Keras calls this from `predict`."""
        inputs, _, _ = _unpack(data)
        return self(inputs, training=False)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Computes the loss that the model was compiled with."""
        target, weight = _compared(x, y, sample_weight)
        return super().compute_loss(x, target, y_pred, weight, training)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Computes the metrics that the model was compiled with."""
        target, weight = _compared(x, y, sample_weight)
        return super().compute_metrics(x, target, y_pred, weight)

    def _minimises_another_loss(self, target: Any) -> bool:
        return target is not None or getattr(self, "loss", None) is not None

    def _weighted_loss(
        self, inputs: Mapping[str, Any], weight: Any, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of a batch `()`, added to that of the epoch, and its output."""
        losses, reconstruction = self.reconstruct(*sequences_of(inputs), training=training)
        weight = tf.ones_like(losses) if weight is None else tf.cast(weight, losses.dtype)
        total = tf.reduce_sum(weight)
        loss = tf.math.divide_no_nan(tf.reduce_sum(weight * losses), total)
        self._loss_tracker.update_state(loss, sample_weight=total)
        # What regularizers add is the same for every batch, and no part of the loss of sequences.
        return loss + sum(self.losses), reconstruction


def _unpack(data: Any) -> tuple[dict[str, Any], Any, Any]:
    """Returns inputs, target and weight `(batch,)` of a batch; None where they are not given."""
    inputs, target, weight = keras.utils.unpack_x_y_sample_weight(data)
    if not isinstance(inputs, Mapping):
        return {"sequence": inputs}, target, weight
    if weight is None:
        weight = inputs.get("weight")
    names = ("values", "sequence", "length")
    return {name: inputs[name] for name in names if name in inputs}, target, weight


def sequences_of(batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns the sequences of a batch, packed or not, and the length that goes with them."""
    if "values" in batch:
        return PackedSequences(batch["values"], batch["length"]), None
    return batch["sequence"], batch.get("length")


def _compared(inputs: Any, target: Any, weight: Any) -> tuple[Any, Any]:
    """Returns what a reconstruction is compared with, and the weight of each of its timesteps."""
    inputs, _, own_weight = _unpack(inputs)
    weight = own_weight if weight is None else weight
    if "values" in inputs:
        row = Packing.of(inputs["length"]).row
        target = inputs["values"] if target is None else target
        return target, None if weight is None else tf.gather(weight, row)
    target = inputs["sequence"] if target is None else target
    if "length" not in inputs:
        return target, weight
    valid = tf.cast(valid_timesteps(inputs["sequence"], inputs["length"]), tf.float32)
    return target, valid if weight is None else valid * tf.cast(weight, tf.float32)[:, None]

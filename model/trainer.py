"""One step of training: equal-length batches accumulate, and the exact gradient is applied.

The objective is one number for the whole step,

    loss = sum of weight * score over all sequences / sum of weights,

over all batches and all replicas, so that neither how the sequences are cut into batches nor how a
batch is dealt out to replicas changes the gradient. Keras' `fit` averages the means of replicas,
which is another number as soon as they hold unequal work.
"""

from __future__ import annotations

import tensorflow as tf

WEIGHTINGS = ("sequence", "timestep")


class Trainer:
    """Runs training and evaluation steps of an autoencoder under a distribution strategy.

    Each step is one traced call for all lengths: it takes batches from the iterator until one says
    that it ends the step.

    Args:
        model: a `SequenceAutoencoder` (or a model with such an `analyze`) built in the strategy's
            scope, compiled with an optimizer.
        strategy: the strategy it was built under.
        weighting: `"sequence"`, each sequence weighs 1, or `"timestep"`, each weighs its length.
        clip_norm: most that the global norm of a step's gradient may be, or None.

    Raises:
        ValueError: if the weighting is unknown or `clip_norm` is not above 0.
    """

    def __init__(self, model, strategy, *, weighting="sequence", clip_norm=None):
        if weighting not in WEIGHTINGS:
            raise ValueError(f"`weighting` must be one of {WEIGHTINGS}, got {weighting!r}.")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"`clip_norm` must be above 0, got {clip_norm}.")
        self.model = model
        self.strategy = strategy
        self.weighting = weighting
        self.clip_norm = clip_norm
        with strategy.scope():
            model.optimizer.build(model.trainable_variables)
            self._error, self._weight = _sum_over_replicas(()), _sum_over_replicas(())
            self._gradients = [_sum_over_replicas(v.shape) for v in model.trainable_variables]

    # Without AutoGraph, which does not know every version of Python that TensorFlow runs on.
    @tf.function(reduce_retracing=True, autograph=False)
    def train_step(self, iterator):
        """Takes the batches of one step and updates the weights once.

        Returns:
            The step's sum of weight * score and its sum of weights, `()` float32 each.
        """
        self._run_batches(iterator, self._accumulate_gradients)
        return self._first_replica(self.strategy.run(self._apply_gradients))

    @tf.function(reduce_retracing=True, autograph=False)
    def evaluation_step(self, iterator):
        """Takes the batches of one step and returns the same two sums; the weights stay."""
        self._run_batches(iterator, self._accumulate_error)
        return self._first_replica(self.strategy.run(self._take_sums, args=([],)))

    def _run_batches(self, iterator, run_batch):
        """Takes batches from the iterator until one says that it ends the step."""

        def run(_):
            batch = next(iterator)
            self.strategy.run(run_batch, args=(batch,))
            return (self._first_replica(batch["ends_step"]),)

        tf.while_loop(tf.logical_not, run, (tf.constant(False),))

    def _accumulate_gradients(self, batch):
        variables = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            error = self._accumulate_error(batch)
        for total, gradient in zip(self._gradients, tape.gradient(error, variables), strict=True):
            total.assign_add(tf.cast(gradient, total.dtype))

    def _accumulate_error(self, batch):
        weight = batch["weight"]
        if self.weighting == "timestep":
            weight *= tf.cast(batch["length"], weight.dtype)
        score = tf.cast(self.model.analyze(batch["sequence"])["score"], weight.dtype)
        error = tf.reduce_sum(weight * score)
        self._error.assign_add(error)
        self._weight.assign_add(tf.reduce_sum(weight))
        return error

    def _apply_gradients(self):
        error, weight, *gradients = self._take_sums(self._gradients)
        gradients = [gradient / weight for gradient in gradients]
        if self.clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        # Keras adds up what the replicas give it, and each gives the whole.
        share = 1.0 / self.strategy.num_replicas_in_sync
        self.model.optimizer.apply(
            [gradient * share for gradient in gradients], self.model.trainable_variables
        )
        return error, weight

    def _take_sums(self, more):
        """Returns error, weight and `more` summed over the replicas, and sets them back to 0."""
        accumulators = [self._error, self._weight, *more]
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [total.read_value() for total in accumulators]
        )
        for total in accumulators:
            total.assign(tf.zeros_like(total))
        return sums

    def _first_replica(self, values):
        return tf.nest.map_structure(
            lambda value: self.strategy.experimental_local_results(value)[0], values
        )


def _sum_over_replicas(shape) -> tf.Variable:
    """Makes a variable of zeros that each replica adds to for itself."""
    return tf.Variable(
        tf.zeros(shape),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )

"""The plan's batches as a `tf.data.Dataset`: grouping, rare lengths, order."""

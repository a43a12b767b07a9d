"""The traps of a `tf.data.Dataset` that padless did not make."""

"""The record format, the dataset directory, the batch plan and the tf.data batches."""

"""Logical CPU devices for the replicas of these tests."""

import tensorflow as tf

# Before the first operation of the process, for afterwards the devices are fixed. As many as those
# of the tests of `model`, which may share the process.
tf.config.set_visible_devices([], "GPU")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8
)

"""The devices that share a batch: all GPUs, or logical CPU devices."""

from __future__ import annotations

import tensorflow as tf


def mirrored_strategy(replicas: int | None = None) -> tf.distribute.MirroredStrategy:
    """Makes a strategy with one replica per GPU, or, without GPUs, per logical CPU device.

    Args:
        replicas: how many; all GPUs, or 1 without GPUs, if None.

    Raises:
        ValueError: if `replicas` is below 1 or more than there are GPUs.
        RuntimeError: if TensorFlow already runs with fewer logical CPU devices.
    """
    if replicas is not None and replicas < 1:
        raise ValueError(f"`replicas` must be at least 1, got {replicas}.")
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    if not num_gpus:
        kind, replicas = "CPU", replicas or 1
        _ensure_logical_cpus(replicas)
    else:
        kind, replicas = "GPU", replicas or num_gpus
        if replicas > num_gpus:
            raise ValueError(f"`replicas` must be at most the {num_gpus} GPUs, got {replicas}.")
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(replicas)])


def _ensure_logical_cpus(count: int) -> None:
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    configured = tf.config.get_logical_device_configuration(cpu) or []
    if len(configured) >= count or count == 1:
        return
    try:
        devices = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(cpu, devices)
    except RuntimeError as error:
        raise RuntimeError(
            f"`replicas` = {count} needs as many logical CPU devices, but TensorFlow already runs "
            f"with {max(len(configured), 1)}: make the strategy before the first operation."
        ) from error

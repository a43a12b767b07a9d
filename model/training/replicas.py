"""The devices that share a batch: all GPUs, or logical CPU devices, of one machine or several."""

from __future__ import annotations

import itertools

import tensorflow as tf

from padless.model.training.cluster import cluster_size, cluster_strategy

_KEYS_PER_STRATEGY = 1000
_strategies = itertools.count()


def make_strategy(replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes the strategy over the machines of `TF_CONFIG`, or that of this machine.

    Args:
        replicas: how many in all; all GPUs, or 1 per machine without GPUs, if None.

    Raises:
        ValueError: if there cannot be as many, or `TF_CONFIG` is no cluster.
        RuntimeError: if TensorFlow already runs with fewer logical CPU devices.
    """
    if cluster_size() > 1:
        return cluster_strategy(replicas)
    return mirrored_strategy(replicas)


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
    # Logical ones: a card may have been divided. Asked for only where there is one, as this starts
    # TensorFlow, and logical CPU devices must be made before.
    has_gpus = bool(tf.config.get_visible_devices("GPU"))
    num_gpus = len(tf.config.list_logical_devices("GPU")) if has_gpus else 0
    if not num_gpus:
        kind, replicas = "CPU", replicas or 1
        _ensure_logical_cpus(replicas)
    else:
        kind, replicas = "GPU", replicas or num_gpus
        if replicas > num_gpus:
            raise ValueError(f"`replicas` must be at most the {num_gpus} GPUs, got {replicas}.")
    return _MirroredStrategy([f"{kind}:{i}" for i in range(replicas)])


class _MirroredStrategy(tf.distribute.MirroredStrategy):
    """Reduces in groups of its own, so that a process can train one model after another.

    TensorFlow numbers the groups of every strategy from 1. A second strategy with other replicas,
    or with variables of other shapes, then meets the first one's group and is aborted, see
    https://github.com/tensorflow/tensorflow/issues/62790.
    """

    def __init__(self, devices: list[str]):
        self._collective_key_base = next(_strategies) * _KEYS_PER_STRATEGY
        super().__init__(devices)


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

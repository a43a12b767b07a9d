"""The runs of `gpu.py`, each in a fresh process, as devices are fixed at the start of a process.

The steps are random walks of a few lengths. They are drawn on the CPU and depend only on the number
of the packed batch, so that every run sees the same ones.
"""

import collections
import dataclasses
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from generated import PLAIN, write_dataset

from padless.model import Architecture, DynamicRepeat, SequenceAutoencoder, Trainer
from padless.model.kernels.fused_lstm import FusedLSTM
from padless.model.run_directory.training_options import TrainingOptions
from padless.model.training.loop import TrainingLoop
from padless.model.training.optimizer import FusedAdam
from padless.model.training.replicas import mirrored_strategy
from padless.model.training.state import RunState
from padless.model.training.warm_up import largest_batches
from padless.pipeline import PackedSequences, plan_batches
from padless.pipeline.batching.packing import Packing

NUM_FEATURES, LATENT_SIZE = 12, 32
LENGTHS = (100, 40, 200, 60)
_NUM_WALKS = 4  # packed batches


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """The device of a run, and its sizes.

    Attributes:
        device: `"GPU"` or `"CPU"`.
        units: of each recurrent layer.
        batch: sequences per batch.
        replicas: logical devices to make of the one device.
        cell: `"lstm"` or `"gru"`.
        bidirectional: whether the encoder also reads from the end.
        precision: of the recurrent layers.
        by_loop: whether an LSTM on a CPU runs as Keras' loop, whatever its size.
        memory_megabytes: maximum memory of each logical GPU; no limit if None.
    """

    device: str
    units: int
    batch: int
    replicas: int = 1
    cell: str = "lstm"
    bidirectional: bool = False
    precision: str = "float32"
    by_loop: bool = False
    memory_megabytes: int | None = None


def start(setting):
    """Configures the devices of this process and makes the strategy over them."""
    kinds = {"CPU": tf.config.list_physical_devices("CPU")}
    kinds["GPU"] = tf.config.list_physical_devices("GPU")[:1]
    tf.config.set_visible_devices(kinds["GPU"] if setting.device == "GPU" else [], "GPU")
    limit = setting.memory_megabytes if setting.device == "GPU" else None
    if setting.replicas > 1 or limit:
        logical = tf.config.LogicalDeviceConfiguration(memory_limit=limit)
        (device,) = kinds[setting.device]
        tf.config.set_logical_device_configuration(device, [logical] * setting.replicas)
    if setting.by_loop:
        FusedLSTM.MAX_FUSED_UNITS = 0
    return mirrored_strategy(setting.replicas)


def make_trainer(setting, strategy, make_optimizer=FusedAdam):
    """Makes the product's trainer, with the same weights for the same setting."""
    keras.utils.set_random_seed(0)
    form = PLAIN | {"bidirectional": setting.bidirectional}
    architecture = Architecture(
        latent_size=LATENT_SIZE, units=setting.units, cell=setting.cell, **form
    )
    with strategy.scope():
        model = SequenceAutoencoder(NUM_FEATURES, architecture, dtype=setting.precision)
        model.compile(optimizer=make_optimizer())
    return Trainer(model, strategy, clip_norm=1.0)


def walks(setting, batches_per_step, *, mixed=True):
    """Makes packed batches as `packed_steps` does: each as one piece per replica, in a row.

    The sequences of a batch have many lengths, or all the longest of these if not `mixed`.
    """

    def make(number):
        i, piece = number // setting.replicas, number % setting.replicas
        padded, length = _draw_walks(setting, i, mixed)
        rows = tf.range(setting.batch, dtype=tf.int64)[piece :: setting.replicas]
        length = tf.gather(length, rows)
        packing = Packing.of(length)
        index = tf.stack((tf.gather(rows, packing.row), tf.cast(packing.time, tf.int64)), axis=1)
        return {
            "values": tf.ensure_shape(tf.gather_nd(padded, index), (None, NUM_FEATURES)),
            "length": length,
            "weight": tf.ones_like(length, tf.float32),
            "ends_step": (i + 1) % batches_per_step == 0,
        }

    numbers = tf.data.Dataset.range(_NUM_WALKS * batches_per_step * setting.replicas)
    # Many, but counted: a dataset without end is read in another way under a strategy.
    return numbers.map(make).cache().repeat(100_000).prefetch(tf.data.AUTOTUNE)


def _draw_walks(setting, i, mixed=True):
    """Draws padded walks and their falling lengths, of which the longest changes with `i`."""
    lengths = tf.constant(LENGTHS, tf.int64)
    longest = lengths[i % len(LENGTHS)]
    length = tf.gather(lengths, tf.range(setting.batch) % len(LENGTHS)) * longest // max(LENGTHS)
    length = tf.sort(length, direction="DESCENDING") if mixed else tf.ones_like(length) * longest
    shape = (setting.batch, max(LENGTHS), NUM_FEATURES)
    steps = tf.random.stateless_normal(shape, tf.stack([i, 0]))
    return tf.cumsum(steps, axis=1) / max(LENGTHS) ** 0.5, length


def deal(trainer, batches):
    """Distributes batches to the replicas."""
    return iter(trainer.strategy.distribute_datasets_from_function(lambda context: batches))


def analyzer(model):
    """Makes inference as one trace for all lengths."""
    signature = [tf.TensorSpec((None, NUM_FEATURES)), tf.TensorSpec((None,), tf.int64)]
    return tf.function(
        lambda *packed: model.analyze(PackedSequences(*packed)),
        input_signature=signature,
        autograph=False,
    )


def operations_run(setting):
    """Counts, by type, the operations of one training step and of inference."""
    trainer = make_trainer(setting, start(setting))
    batches, analyze = deal(trainer, walks(setting, 1)), analyzer(trainer.model)
    length = np.full(setting.batch, LENGTHS[0])
    probe = np.zeros((length.sum(), NUM_FEATURES), np.float32)
    ways = [
        lambda: float(trainer.train_step(batches).loss),
        lambda: analyze(probe, length)["error"][0],
    ]
    return [_operations_placed(way) for way in ways]


def _operations_placed(way):
    """Runs what was not traced before, and counts the operations that TensorFlow placed.

    A profile of a GPU tells kernels instead.
    """
    with tempfile.TemporaryDirectory() as directory:
        with tf.summary.create_file_writer(directory).as_default():
            tf.summary.trace_on(graph=True)
            way()
            tf.summary.trace_export("run", step=0)
        records = tf.data.TFRecordDataset(tf.io.gfile.glob(f"{directory}/*"))
        events = [tf.compat.v1.Event.FromString(record.numpy()) for record in records]
    (value,) = (value for event in events for value in event.summary.value)
    ran = tf.compat.v1.RunMetadata.FromString(value.tensor.string_val[0])
    graphs = [graph for function in ran.function_graphs for graph in function.partition_graphs]
    return collections.Counter(node.op for graph in graphs for node in graph.node)


def train(setting, steps):
    """Trains for some steps in full float32: (results by name, traces of the two steps)."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    # Not Adam: it divides by the size of the gradient and makes roundings of small ones as large.
    trainer = make_trainer(setting, start(setting), lambda: keras.optimizers.SGD(0.1, 0.9))
    before = _weights(trainer.model)
    batches, held_out = deal(trainer, walks(setting, 2)), deal(trainer, walks(setting, 2))
    losses = [trainer.train_step(batches).loss.numpy() for _ in range(steps)]
    error = trainer.evaluation_step(held_out).error.numpy()
    for _ in LENGTHS:
        trainer.evaluation_step(held_out)
    results = {"loss": np.array(losses), "held out": error}
    results["update"] = _weights(trainer.model) - before
    length = np.sort(np.arange(setting.batch) % 50 + 1)[::-1]
    probe = np.random.default_rng(0).normal(size=(length.sum(), NUM_FEATURES))
    told = analyzer(trainer.model)(probe.astype(np.float32), length)
    # Not the score, which is fitted to a dataset when its training ends.
    results |= {name: told[name].numpy() for name in ("embedding", "error", "feature_error")}
    both = (trainer.train_step, trainer.evaluation_step)
    return results, max(step.experimental_get_tracing_count() for step in both)


def _weights(model):
    return np.concatenate([variable.numpy().ravel() for variable in model.trainable_variables])


def peak_megabytes(setting):
    """Returns the peak memory of the largest batches, and of the steps that follow them."""
    trainer, peaks = make_trainer(setting, start(setting)), []
    counts = dict.fromkeys(LENGTHS, -(-setting.batch // len(LENGTHS)))
    plan = plan_batches(counts, batch_size=setting.batch, group_size=1)
    largest = largest_batches(plan, NUM_FEATURES, range(1))
    for batches in (largest, walks(setting, 1)):
        batches = deal(trainer, batches.repeat(2))
        for _ in range(1 if not peaks else 3 * len(LENGTHS)):
            float(trainer.train_step(batches).loss)
        peaks.append(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20)
    return peaks


def run_out_of_memory(setting):
    """Trains with batches that do not fit, and returns the message of the error."""
    trainer = make_trainer(setting, start(setting))
    with tempfile.TemporaryDirectory() as directory:
        dataset = write_dataset(directory, 20_000, NUM_FEATURES)
        plan = plan_batches(dataset.split("train").lengths, batch_size=4096, group_size=64)
        options, state = TrainingOptions(epochs=1), RunState(trainer.model)
        loop = TrainingLoop(trainer, dataset, {"train": plan}, options=options, state=state)
        try:
            loop.run(keras.callbacks.CallbackList(model=trainer.model))
        except MemoryError as error:
            return str(error)
    return None


def speeds(setting, rounds):
    """Times the trainer, with many lengths and with the longest alone, and a bare loop with that.

    Returns:
        Seconds per batch, `(rounds, 3)`: the ways take turns.
    """
    trainer = make_trainer(setting, start(setting))
    ways = []
    for mixed in (True, False):
        batches = deal(trainer, walks(setting, 1, mixed=mixed))
        ways.append(lambda batches=batches: float(trainer.train_step(batches).loss))
    ways.append(bare_loop(setting))
    return np.array([[_seconds(way) for way in ways] for _ in range(rounds + 1)])[1:]


def _seconds(way):
    begun = time.perf_counter()
    for _ in range(_NUM_WALKS):
        way()
    return (time.perf_counter() - begun) / _NUM_WALKS


def bare_loop(setting):
    """Makes a step of the same layers of Keras alone, without strategy, weights or sums."""
    inputs, whole = keras.Input((None, NUM_FEATURES)), {"dtype": "float32"}
    encoded = keras.layers.LSTM(setting.units, dtype=setting.precision)(inputs)
    latent = keras.layers.Dense(LATENT_SIZE, **whole)(encoded)
    repeated = DynamicRepeat(**whole)(latent, like=inputs)
    lstm = keras.layers.LSTM(setting.units, return_sequences=True, dtype=setting.precision)
    model = keras.Model(inputs, keras.layers.Dense(NUM_FEATURES, **whole)(lstm(repeated)))
    optimizer = keras.optimizers.Adam()
    if setting.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(model.trainable_variables)
    variables = [variable.value for variable in model.trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec((None, None, NUM_FEATURES))], autograph=False)
    def step(sequence):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(sequence, training=True) - sequence))
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, variables), model.trainable_variables)
        return loss

    sequences = tf.data.Dataset.range(len(LENGTHS)).map(
        lambda i: _draw_walks(setting, i, mixed=False)[0][:, : tf.gather(LENGTHS, i)]
    )
    sequences = sequences.cache().repeat(100_000)
    device = tf.data.experimental.prefetch_to_device(f"/{setting.device}:0")
    batches = iter(sequences.apply(device))
    return lambda: float(step(next(batches)))

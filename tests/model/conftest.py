"""Small models, trainers and runs."""

import collections
import dataclasses
import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from padless.model import (
    Architecture,
    SequenceAutoencoder,
    Trainer,
    TrainingOptions,
    mirrored_strategy,
    train,
)
from padless.model.run_directory.config import RunConfig, write_config
from padless.model.run_directory.layout import make_run, model_written
from padless.pipeline import Shuffle, packed_steps, plan_batches
from padless.pipeline.batching.untuned import iterate_untuned
from padless.pipeline.dataset.framing import read_records

SMALL = {"latent_size": 3, "units": 4}
CONFIG = RunConfig(
    dataset="data",
    fingerprint={"lengths.json": "0a"},
    num_features=2,
    feature_names=("x", "y"),
    architecture=Architecture(**SMALL),
    training=TrainingOptions(),
    replicas=1,
    devices=("CPU:0",),
    versions={"padless": None, "keras": "3"},
    steps_per_epoch={"train": 4, "validation": 1},
)


@pytest.fixture
def seen_gpu(monkeypatch):
    """Lets Keras and padless see a GPU, which both look for when they trace."""
    keras_rnn = importlib.import_module("keras.src.backend.tensorflow.rnn")
    monkeypatch.setattr(keras_rnn, "_is_gpu_available", lambda: True)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: [f"{kind}:0"])


@pytest.fixture(scope="session")
def small():
    return Architecture(**SMALL)


@pytest.fixture(scope="session")
def on_one_scale():
    """A small architecture whose loss is the error in units of the training variance."""
    return Architecture(**SMALL, own_scale=False)


@pytest.fixture(scope="session")
def make_model(fit_score):
    """Builds a small model with the same weights for the same arguments, whose score is fitted."""

    def make(num_features=2, mean=None, variance=None, longest=None, **architecture):
        keras.utils.set_random_seed(1)
        architecture = Architecture(**SMALL | architecture)
        model = SequenceAutoencoder(num_features, architecture, mean, variance, longest=longest)
        fit_score(model)
        return model

    return make


@pytest.fixture(scope="session")
def save_model():
    """Writes the model of a run."""

    def save(model, run, offsets=None):
        with model_written(model, run, offsets):
            pass

    return save


@pytest.fixture(scope="session")
def fit_score():
    """Gives the anomaly score of a model weights that no data has told."""

    def fit(model):
        sizes = model.pooled_size, 2 * model.num_features
        pooled, level = ((np.full(size, 0.1), np.eye(size) + 0.3) for size in sizes)
        slope = np.linspace(-0.2, 0.2, sizes[1])
        model.anomaly_score.assign(
            pooled=pooled, level=level, slope=slope, expected=(0.5, -1.0), deviation=(0.8, 0.4)
        )

    return fit


@pytest.fixture(scope="session")
def make_trainer():
    """Builds a trainer of a small model for a dataset, with the same weights for any replicas."""

    def make(dataset, replicas=1, optimizer=None, *, precision="float32", dropout=0.0, **options):
        keras.utils.set_random_seed(1)
        architecture = Architecture(**SMALL, dropout=dropout)
        strategy = mirrored_strategy(replicas)
        with strategy.scope():
            model = SequenceAutoencoder.for_moments(
                dataset.moments, architecture, precision=precision
            )
            model.compile(optimizer=keras.optimizers.get(optimizer or "sgd"))
        return Trainer(model, strategy, **options)

    return make


@pytest.fixture(scope="session")
def deal():
    """Plans a dataset's packed steps and deals them to a trainer's replicas: (iterator, plan)."""

    def distribute(trainer, dataset, batch_size, epochs=1, *, group_size=2, **options):
        options |= {"batch_size": batch_size, "group_size": group_size}
        replicas = trainer.strategy.num_replicas_in_sync
        plan = plan_batches(dataset.split("train").lengths, replicas=replicas, **options)
        batches = trainer.strategy.distribute_datasets_from_function(
            lambda context: packed_steps(dataset, plan, shuffle=Shuffle(4), epochs=range(epochs))
        )
        return iterate_untuned(batches), plan

    return distribute


@pytest.fixture(scope="session")
def weights_of():
    def concatenate(model):
        return np.concatenate([v.numpy().ravel() for v in model.trainable_variables])

    return concatenate


@pytest.fixture(scope="session")
def read_sequences():
    """Reads a split's sequences by key, with TensorFlow's own protocol buffers."""

    def read(dataset, split):
        sequences = {}
        for file in dataset.split(split).files:
            for record in read_records(file):
                feature = tf.train.Example.FromString(record).features.feature
                values = np.array(feature["sequence"].float_list.value, np.float32)
                sequences[feature["key"].bytes_list.value[0].decode()] = values.reshape(
                    feature["length"].int64_list.value[0], -1
                )
        return sequences

    return read


@pytest.fixture(scope="session")
def train_small(tmp_path_factory, small):
    """Trains a small model on a dataset: (run directory, report)."""

    def train_on(dataset, run=None, architecture=small, **options):
        passed = ("callbacks", "progress", "resume")
        passed = {name: options.pop(name) for name in passed if name in options}
        run = run or tmp_path_factory.mktemp("runs") / "run"
        options = {"epochs": 2, "batch_size": 8} | options
        # A schedule along all epochs would not let a finished run go on.
        options = {"learning_rate": 0.02, "schedule": "constant"} | options
        report = train(
            dataset.split("train").files[0].parent,
            run,
            architecture=architecture,
            options=TrainingOptions(**options),
            **passed,
        )
        return run, report

    return train_on


@pytest.fixture(scope="session")
def read_events():
    """Reads all events of a log folder: tag -> {step: tensor}, later files over earlier ones."""

    def read(folder):
        tags = collections.defaultdict(dict)
        for file in sorted(folder.glob("events.out.*")):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    tags[value.tag][event.step] = value.tensor
        return tags

    return read


@pytest.fixture
def create_run(tmp_path):
    """Makes a run directory with a configuration of two features and nothing else."""

    def create(**config):
        run = make_run(tmp_path / "run", resume=False)
        write_config(run, dataclasses.replace(CONFIG, **config))
        return run

    return create


@pytest.fixture(scope="session")
def validated_dataset(make_dataset):
    return make_dataset({"train": [3, 4, 4, 6, 7] * 5, "validation": [3, 5, 6, 7]}, num_shards=2)


@pytest.fixture(scope="session")
def unvalidated_dataset(make_dataset):
    return make_dataset([3, 3, 4, 6, 6, 6, 7, 8, 8, 9], num_shards=2)


@pytest.fixture(scope="session")
def finished(train_small, validated_dataset):
    """A finished run of six epochs with validation: (run directory, report)."""
    return train_small(validated_dataset, epochs=6)


@pytest.fixture(scope="session")
def without_validation(train_small, unvalidated_dataset):
    """A finished run of two epochs without validation: (run directory, report)."""
    return train_small(unvalidated_dataset)


@pytest.fixture(scope="session")
def finished_on_one_scale(train_small, validated_dataset, on_one_scale):
    """A finished run whose loss is in units of the training variance: (run directory, report)."""
    return train_small(validated_dataset, architecture=on_one_scale)


class Spoil(keras.callbacks.Callback):
    """Makes every epoch from the second on worse than the first, whatever was learned."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.head.bias.assign(self.model.head.bias + 1e3)


@pytest.fixture(scope="session")
def spoiled(train_small, validated_dataset):
    """A run whose first epoch is its best, and which waits three epochs for a better one."""
    return train_small(
        validated_dataset, callbacks=[Spoil()], epochs=9, patience=3, schedule="cosine"
    )

"""Training runs, from real dataset directories to real run directories."""

import csv
import dataclasses
import gc
import json
import re
import shutil
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from padless.model import TrainingOptions, load_model, train
from padless.model.run_directory import layout
from padless.model.training.loop import TrainingLoop
from padless.model.training.state import RunState
from padless.pipeline import Shuffle, equal_length_batches, open_dataset
from padless.pipeline.written_whole import unfinished

ORDER = (
    "length_correlation",
    "length_correlation_by_chance",
    "length_drift",
    "length_drift_by_chance",
)


def read_csv(path):
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def folder_of(dataset):
    return dataset.split("train").files[0].parent


def mean_loss(run, sequences):
    model = load_model(run)
    return np.mean([float(model.sequence_losses(s[None])[0]) for s in sequences])


@pytest.fixture(scope="module")
def dataset(unvalidated_dataset):
    return unvalidated_dataset


@pytest.fixture(scope="module")
def repeated(train_small, dataset, without_validation, tmp_path_factory):
    """The run without validation again, on a copy of its data: (run directory, copy, logs)."""
    moved, seen = tmp_path_factory.mktemp("moved") / "elsewhere", []
    shutil.copytree(folder_of(dataset), moved)
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, list(logs))),
        on_train_batch_end=lambda batch, logs: seen.append((batch, list(logs))),
    )
    # What the program drew before is no part of the seed.
    keras.utils.set_random_seed(99)
    run, _ = train_small(open_dataset(moved), callbacks=[callback])
    return run, moved, seen


def test_train_writes_what_the_run_directory_promises(finished):
    run, _ = finished
    described = re.search("```\n(.*?)```", layout.__doc__, re.DOTALL)[1]
    names = re.findall(r"^(?:[\w./]+, )*[\w./]+(?=  )", described, re.MULTILINE)
    names = [name for group in names for name in group.split(", ")]
    assert len(names) == 9
    for name in names:
        path = run / name
        assert path.is_dir() if name.endswith("/") else path.stat().st_size > 0
    assert {path.name for path in run.iterdir()} == {name.split("/")[0] for name in names}
    assert list((run / "tensorboard").rglob("events.out.*"))


def test_train_describes_itself(finished, validated_dataset, small):
    run, _ = finished
    config = json.loads((run / "config.json").read_text())
    assert config["dataset"] == str(folder_of(validated_dataset))
    assert config["architecture"] == dataclasses.asdict(dataclasses.replace(small, patch_length=1))
    assert config["training"]["epochs"] == 6
    assert config["replicas"] == len(config["devices"]) == 1
    assert config["steps_per_epoch"] == {"train": 4, "validation": 1}


def test_train_logs_every_epoch_and_every_step(finished):
    run, report = finished
    history, steps = read_csv(run / "history.csv"), read_csv(run / "steps.csv")
    assert (report.epochs, report.steps) == (6, 24)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert [(row["epoch"], row["step"]) for row in steps] == [
        (epoch, step) for epoch in range(1, 7) for step in range(1, 5)
    ]
    assert list(history[0]) == ["epoch", "loss", "val_loss", *ORDER]
    best = min(history, key=lambda row: row["val_loss"])
    assert (report.monitor, report.best_epoch) == ("val_loss", best["epoch"])
    assert report.best == pytest.approx({name: best[name] for name in ("loss", "val_loss")})


class Fill(keras.callbacks.Callback):
    """Leaves no room for the checkpoint after the second step of a run."""

    def __init__(self, run):
        super().__init__()
        self._checkpoints = run / "checkpoints"

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            (self._checkpoints / unfinished("step-00000002.npz")).symlink_to("/dev/full")


@pytest.fixture(scope="module")
def without_room(train_small, make_dataset, tmp_path_factory):
    """A run of 12 steps an epoch, resumed after it found no room: (run, dataset, what it said)."""
    dataset, run = make_dataset([3, 5, 8, 13] * 12), tmp_path_factory.mktemp("full") / "run"
    options = {"run": run, "batch_size": 4, "checkpoint_steps": 1, "seed": 5}
    with pytest.raises(OSError, match="No space left") as full:
        train_small(dataset, callbacks=[Fill(run)], **options)
    train_small(dataset, resume=True, **options)
    return run, dataset, str(full.value)


def test_train_says_where_there_is_no_room_for_a_checkpoint(without_room):
    message = r"checkpoint after 2 steps could not be .*No space left .* the newest is of step 1"
    assert re.search(message, without_room[2])


def test_train_logs_the_order_of_the_steps(without_room):
    """Also in an epoch that was resumed; another seed has another order."""
    run, dataset, _ = without_room
    plan = TrainingOptions(batch_size=4).plan(dataset.split("train").lengths, 1)
    history = read_csv(run / "history.csv")
    assert len(history) == 2
    for epoch, row in enumerate(history):
        means, step = [], []
        batches = equal_length_batches(
            dataset, plan, shuffle=Shuffle(5), epochs=range(epoch, epoch + 1)
        )
        for batch in batches.as_numpy_iterator():
            step.extend(batch["length"])
            if batch["ends_step"][0]:
                means.append(np.mean(step))
                step = []
        expected = np.corrcoef(means[:-1], means[1:])[0, 1]
        assert row["length_correlation"] == pytest.approx(expected, abs=1e-6)
        assert row["length_drift"] == pytest.approx(np.mean(means[-2:]) / np.mean(means[:-2]) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"group_size": 2}, {"batch_timesteps": 40}])
def test_train_on_other_plans_ends_as_its_resumed_run(
    train_small, make_dataset, weights_of, options
):
    dataset = make_dataset({"train": [3, 4, 5, 9] * 6 + [7], "validation": [3, 4]})
    options = {"batch_size": None if "batch_timesteps" in options else 8} | options
    whole, report = train_small(dataset, epochs=2, **options)
    config = json.loads((whole / "config.json").read_text())
    plan = TrainingOptions(**options).plan(dataset.split("train").lengths, 1)
    assert config["steps_per_epoch"]["train"] == plan.steps_per_epoch
    assert report.steps == 2 * plan.steps_per_epoch
    run, _ = train_small(dataset, epochs=1, **options)
    run, _ = train_small(dataset, epochs=2, run=run, resume=True, **options)
    expected = weights_of(load_model(whole))
    np.testing.assert_array_equal(weights_of(load_model(run)), expected)


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, 8), ({"batch_size": 3}, 3), ({"batch_timesteps": 20}, 8), ({"group_size": 1}, 1)],
)
def test_group_size_is_8_or_the_batch_size(options, expected):
    assert TrainingOptions(**options).plan({3: 90, 9: 2}, 1).group_size == expected


def test_train_lowers_the_loss(finished):
    history = read_csv(finished[0] / "history.csv")
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]
    assert history[-1]["val_loss"] < 0.9 * history[0]["val_loss"]


def test_a_training_leaves_no_graph_behind(train_small, make_dataset):
    """Not even that of the least there is to train on."""

    def list_graphs():
        gc.collect()
        return [thing for thing in gc.get_objects() if isinstance(thing, FuncGraph)]

    # They stay as long as they are listed, so that no new one has the number of one of them.
    before = list_graphs()
    train_small(make_dataset([1]), epochs=1)
    assert {*map(id, list_graphs())} <= {*map(id, before)}


def test_train_stops_when_no_epoch_is_better(spoiled):
    run, report = spoiled
    assert (report.best_epoch, report.epochs) == (1, 4)
    assert len(read_csv(run / "history.csv")) == 4


@pytest.mark.parametrize("kind", ["finished", "spoiled"])
def test_train_saves_the_weights_of_the_best_epoch(
    request, read_sequences, validated_dataset, kind
):
    run, report = request.getfixturevalue(kind)
    sequences = read_sequences(validated_dataset, "validation").values()
    assert mean_loss(run, sequences) == pytest.approx(report.best["val_loss"], rel=1e-5)


def test_train_standardizes_by_the_training_split(finished, read_sequences, validated_dataset):
    values = np.concatenate(list(read_sequences(validated_dataset, "train").values()))
    model = load_model(finished[0])
    np.testing.assert_allclose(model.mean, values.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(model.variance, values.var(axis=0, dtype=np.float64))


def test_train_goes_by_the_training_loss_where_nothing_validates(without_validation):
    run, report = without_validation
    history = read_csv(run / "history.csv")
    assert report.monitor == "loss"
    assert list(history[0]) == ["epoch", "loss", *ORDER]
    assert report.best["loss"] == pytest.approx(min(row["loss"] for row in history))


def test_train_ends_with_the_same_weights_for_the_same_seed(
    without_validation, repeated, weights_of
):
    expected = weights_of(load_model(without_validation[0]))
    np.testing.assert_array_equal(weights_of(load_model(repeated[0])), expected)


def test_train_on_two_replicas_is_training_on_one(
    train_small, dataset, without_validation, weights_of
):
    run, report = train_small(dataset, replicas=2)
    assert report.best == pytest.approx(without_validation[1].best, rel=1e-5)
    expected = weights_of(load_model(without_validation[0]))
    np.testing.assert_allclose(
        weights_of(load_model(run)), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max()
    )


def test_train_calls_the_callbacks_given(repeated):
    steps = [(0, ["loss"]), (1, ["loss"])]
    assert repeated[2] == [*steps, (0, [*ORDER, "loss"]), *steps, (1, [*ORDER, "loss"])]


def test_the_saved_model_needs_no_padless_and_takes_mixed_lengths(
    finished, read_sequences, validated_dataset, tmp_path
):
    run, _ = finished
    sequences = list(read_sequences(validated_dataset, "validation").values())
    lengths = [len(sequence) for sequence in sequences]
    padded = np.full((len(sequences), max(lengths), 2), np.nan, np.float32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    np.savez(tmp_path / "in.npz", sequence=padded, length=lengths)
    script = """
        import sys
        sys.modules["padless"] = None
        import numpy as np, tensorflow as tf
        model = tf.saved_model.load(sys.argv[1])
        with np.load("in.npz") as given:
            np.savez("out.npz", **model.serve(given["sequence"], given["length"]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), run / "saved_model"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    with np.load(tmp_path / "out.npz") as file:
        results = dict(file)
    model = load_model(run)
    assert len(set(lengths)) == 4
    for i, sequence in enumerate(sequences):
        for name, expected in model.analyze(sequence[None]).items():
            np.testing.assert_allclose(results[name][i], expected[0], rtol=1e-5, atol=1e-6)


def test_train_rejects_an_existing_run_directory(train_small, dataset, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=f"{tmp_path}: the run directory must not exist"):
        train_small(dataset, run=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_train_rejects_a_dataset_without_a_training_split(make_dataset, tmp_path):
    folder = make_dataset({"validation": [3, 4]}).split("validation").files[0].parent
    with pytest.raises(ValueError, match=r"a split 'train', it has 'validation'"):
        train(folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_train_rejects_a_run_directory_that_cannot_be_locked(train_small, dataset):
    with pytest.raises(ValueError, match=r"gs://.*must be in a file system of this machine"):
        train_small(dataset, run="gs://bucket/run")


def test_train_rejects_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: the dataset directory does not exist"):
        train(tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"batch_size": None, "batch_timesteps": 8}, "longest sequence, 9, got 8"),
        ({"batch_timesteps": 100}, "Exactly one of"),
        ({"replicas": 0}, "`replicas` must be at least 1, got 0"),
        ({"weighting": "batch"}, "`weighting` must be one of.*got 'batch'"),
        ({"clip_norm": 0.0}, "`clip_norm` must be above 0 and finite, got 0.0"),
    ],
)
def test_train_leaves_nothing_where_an_option_does_not_fit(
    train_small, dataset, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        train_small(dataset, run=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


DAMAGES = {
    "truncated": (lambda data: data[:-5], r"record 3 at byte \d+: its data.*truncated"),
    "flipped": (
        lambda data: data[:40] + b"\x00" + data[41:],
        "record 0 at byte 0: its data.*damaged",
    ),
}


@pytest.mark.parametrize(
    ("split", "kind"),
    [
        ("train", "truncated"),
        ("validation", "flipped"),
        pytest.param("train", "flipped", marks=pytest.mark.slow),
        pytest.param("validation", "truncated", marks=pytest.mark.slow),
    ],
)
def test_train_names_the_damaged_shard(train_small, make_dataset, tmp_path, split, kind):
    damage, message = DAMAGES[kind]
    dataset = make_dataset({"train": [4] * 4, "validation": [4] * 4})
    (file,) = dataset.split(split).files
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{file.name}: {message}"):
        train_small(dataset, run=tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="the training of this run has not finished"):
        load_model(tmp_path / "run")


@pytest.fixture(scope="module")
def run_loop(make_trainer, make_dataset):
    """Runs one epoch of the loop of a training, always by the same trainer: it is traced once."""
    trainer = make_trainer(make_dataset([3] * 4 + [5] * 4), optimizer="adam", clip_norm=None)
    state = RunState(trainer.model)
    start = state.capture()

    def run(dataset, learning_rate=0.02, **options):
        options = TrainingOptions(epochs=1, batch_size=4, **options)
        dataset = open_dataset(folder_of(dataset))  # as it is now
        state.restore(*start)
        trainer.model.optimizer.learning_rate = learning_rate
        plans = {name: options.plan(dataset.split(name).lengths, 1) for name in dataset.splits}
        loop = TrainingLoop(trainer, dataset, plans, options=options, state=state)
        loop.run(keras.callbacks.CallbackList(model=trainer.model))

    return run


def test_training_answers_a_shard_that_lost_records(run_loop, make_dataset):
    dataset = make_dataset([4] * 9, num_shards=3)
    dataset.split("train").files[2].write_bytes(b"")
    with pytest.raises(ValueError, match=r"'train' must hold.*a shard has lost records"):
        run_loop(dataset)


def test_train_stops_when_the_loss_is_not_finite(train_small, dataset):
    message = r"must be finite, got .* in epoch 1, step 2 of split 'train': .* `learning_rate`"
    with pytest.raises(FloatingPointError, match=message):
        train_small(dataset, learning_rate=1e30, clip_norm=None)


def test_training_stops_when_the_validation_loss_is_not_finite(run_loop, make_dataset):
    dataset = make_dataset({"train": [4] * 4, "validation": [4] * 4})
    with pytest.raises(FloatingPointError, match=r"finite, got (inf|nan) .* of split 'validation'"):
        run_loop(dataset, learning_rate=1e30)


@pytest.mark.parametrize(("split", "group_size"), [("train", 4), ("validation", 2), ("train", 2)])
def test_a_loss_that_is_not_finite_names_step_length_and_keys(
    run_loop, make_dataset, split, group_size
):
    dataset = make_dataset({"train": [3] * 4 + [5] * 4, "validation": [3, 5]})
    (file,) = dataset.split(split).files
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(file))]
    # Its square is more than a float32 holds.
    examples[-1].features.feature["sequence"].float_list.value[0] = 1e30
    with tf.io.TFRecordWriter(str(file)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    key = examples[-1].features.feature["key"].bytes_list.value[0].decode()
    message = (
        r"finite, got (inf|nan) .* in epoch 1, step [12] of split "
        rf"'{split}': the keys at fault are '{key}' \(length 5\)\. The weights are still those"
    )
    with pytest.raises(FloatingPointError, match=message):
        run_loop(dataset, group_size=group_size)


def test_train_reads_a_dataset_that_was_moved(repeated):
    run, moved, _ = repeated
    assert json.loads((run / "config.json").read_text())["dataset"] == str(moved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"patience": 0}, "`patience` must be at least 1, got 0"),
        ({"group_size": 0}, "`group_size` must be at least 1, got 0"),
        ({"seed": -1}, r"`seed` must be at least 0 and below 2\*\*32, got -1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0 and finite, got 0.0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be above 0 and finite, got nan"),
        ({"schedule": "linear"}, "`schedule` must be one of .*, got 'linear'"),
        ({"precision": "float16"}, "`precision` must be one of .*, got 'float16'"),
        ({"checkpoint_steps": 0}, "`checkpoint_steps` must be at least 1, got 0"),
        ({"checkpoint_minutes": 0.0}, "`checkpoint_minutes` must be above 0 and finite, got 0.0"),
    ],
)
def test_training_options_reject(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**options)

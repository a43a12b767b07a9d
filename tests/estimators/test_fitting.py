"""The road of the commands: the same dataset, embeddings, scores and p-values, bit for bit."""

import logging
import os
import signal

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone

from padless.cli.main import main
from padless.estimators import SequenceEncoder, fitting
from padless.estimators.sequences import read_input
from padless.model import open_run


@pytest.fixture(scope="module")
def by_command(waves, small, tmp_path_factory):
    """What the commands make of an npz file of the same arrays: (table of scores, run)."""
    folder = tmp_path_factory.mktemp("commands")
    raw, data, run, scores = (str(folder / n) for n in ("x.npz", "data", "run", "s.parquet"))
    np.savez(raw, **{str(number): wave for number, wave in enumerate(waves)})
    options = [f"--{name.replace('_', '-')}={value}" for name, value in small.items()]
    assert main(["preprocess", raw, "--output", data, "--splits", "train=0.8,validation=0.2"]) == 0
    assert main(["train", data, "--run", run, *options]) == 0
    assert main(["score", run, raw, "--output", scores, "--timesteps"]) == 0
    return pq.read_table(scores).to_pylist(), folder


def test_embeddings_are_those_of_the_commands(encoder, waves, by_command):
    rows, _ = by_command
    assert [row["key"] for row in rows] == [str(number) for number in range(len(waves))]
    np.testing.assert_array_equal(
        encoder.transform(waves), np.array([row["embedding"] for row in rows], np.float32)
    )


def test_scores_are_those_of_the_commands(detector, waves, by_command):
    rows, _ = by_command
    np.testing.assert_array_equal(detector.score_samples(waves), [-row["score"] for row in rows])
    np.testing.assert_array_equal(detector.p_values(waves), [row["p_value"] for row in rows])
    for error, row in zip(detector.timestep_errors(waves), rows, strict=True):
        np.testing.assert_array_equal(error, np.array(row["timestep_error"], np.float32))


def test_a_frame_becomes_the_dataset_that_its_csv_file_does(encoder, frame, tmp_path):
    frame.to_csv(tmp_path / "x.csv", index=False)
    data, kept = tmp_path / "data", encoder.directory / "data"
    names = ["--key-column=run", "--time-column=t", "--splits=train=0.8,validation=0.2"]
    assert main(["preprocess", str(tmp_path / "x.csv"), "--output", str(data), *names]) == 0
    files = sorted(path.name for path in data.iterdir() if path.is_file())
    assert len(files) > 5
    for name in files:
        assert (kept / name).read_bytes() == (data / name).read_bytes(), name


def test_dataset_and_run_are_kept_in_a_directory(encoder, frame):
    open_run(encoder.directory / "run").check_finished()
    assert {path.name for path in encoder.directory.iterdir()} == {"data", "run"}


def test_nothing_is_left_without_a_directory(detector, scratch):
    assert detector.directory is None
    assert list(scratch.glob("padless*")) == []


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"latent_size": 3}, "`latent_size` must be 2 as in the run that is resumed, got 3"),
        (
            {"random_state": 1},
            "must be new, or hold a fit of the same sequences and `random_state`",
        ),
        ({"validation_fraction": 0.3}, r"what differs: lengths\.json, shards of train"),
    ],
)
def test_a_directory_of_another_fit_is_named(encoder, frame, parameters, message):
    with pytest.raises(ValueError, match=message):
        clone(encoder).set_params(**parameters).fit(frame)


def test_a_directory_of_other_data_is_named(encoder, waves):
    with pytest.raises(ValueError, match="Name another directory, or delete this one"):
        clone(encoder).fit([2 * wave for wave in waves])


def test_digits_that_float32_loses_are_named(encoder, tmp_path, caplog):
    rng = np.random.default_rng(0)
    far = [rng.normal(5.8e6, 0.1, (9, 1)) for _ in range(9)]
    given = read_input(far, key="", time="", features=None)
    fitting._write_dataset(given, encoder._make_recipe(given.time_order), tmp_path / "data")
    assert "feature 0: in float32 its values are 0.5 apart" in caplog.text
    assert "Subtract an offset" in caplog.text


@pytest.mark.parametrize("features", [None, ["x"]])
def test_columns_of_text_are_named_in_a_fit(frame, encoder, features, caplog, monkeypatch):
    def stop(*args):
        raise InterruptedError

    monkeypatch.setattr(fitting, "_write_dataset", stop)
    texts = frame.assign(y=frame["y"].astype(str), note="a")
    with pytest.raises(InterruptedError):
        SequenceEncoder(key="run", time="t", features=features).fit(texts)
    said = "columns that are not used, as they hold no numbers: 'y' and 'note'. Convert those"
    assert (said in caplog.text) == (features is None)
    caplog.clear()
    encoder.transform(frame.assign(note="a"))
    assert not caplog.text


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the first step."""

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_an_interrupted_fit_resumes_in_its_directory(
    encoder, waves, small, tmp_path, monkeypatch, caplog
):
    def interrupted(*args, **options):
        return train(*args, **options, callbacks=[Interrupt()])

    train = fitting.train
    monkeypatch.setattr(fitting, "train", interrupted)
    resumed = SequenceEncoder(**small, directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        resumed.fit(waves)
    assert not hasattr(resumed, "n_features_in_")
    monkeypatch.undo()
    resumed.set_params(verbose=1).fit(waves)
    assert "resumed after step" in caplog.text
    np.testing.assert_array_equal(resumed.transform(waves), encoder.transform(waves))


@pytest.mark.parametrize("verbose", [0, 1])
def test_messages_are_shown_on_standard_error_where_nobody_has_set_up_logs(
    verbose, monkeypatch, capsys
):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logger = logging.getLogger("padless.anything")
    with fitting.logged(verbose):
        logger.info("epoch 1")
    logger.info("later")
    assert capsys.readouterr().err == "epoch 1\n" * verbose

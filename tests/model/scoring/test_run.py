"""A run, opened once."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.model import Calibration, Inference, load_model, open_run
from padless.model.scoring.calibration import save_calibration
from padless.model.scoring.scores_file import write_parquet
from padless.model.scoring.shard_scores import ShardScores


@pytest.fixture
def run(create_run, make_model, save_model):
    """A finished run, without the training."""
    directory = create_run()
    save_model(make_model(mean=[1.0, 2.0], variance=[4.0, 0.0]), directory)
    length, score = np.array([3, 3, 4, 5]), np.array([0.5, 1.0, 2.0, 50.0])
    save_calibration(Calibration("validation", length, score), directory)
    return open_run(directory)


@pytest.fixture
def named_dataset(make_dataset):
    def make(names, num_features=2):
        return dataclasses.replace(
            make_dataset([3, 4, 4], num_features=num_features), feature_names=names
        )

    return make


def test_open_run_gives_what_the_run_was_asked_for(finished, validated_dataset, small):
    run = open_run(finished[0])
    # The sequences are short: a recurrent step reads each timestep.
    assert run.architecture == dataclasses.replace(small, patch_length=1)
    assert (run.options.epochs, run.options.batch_size) == (6, 8)
    assert run.splits == ("train", "validation")
    dataset = run.open_dataset()
    assert dataset.split("train").files == validated_dataset.split("train").files
    assert run.plan(dataset).steps_per_epoch == run.config.steps_per_epoch["train"]
    assert run.calibration.split == "validation"


def test_a_run_loads_each_part_once(run):
    assert run.model is run.model
    assert run.calibration is run.calibration
    np.testing.assert_array_equal(
        load_model(run.directory)(np.ones((1, 4, 2), np.float32)),
        run.model(np.ones((1, 4, 2), np.float32)),
    )


def test_lengths_that_p_values_do_not_know_are_told(run, make_dataset, tmp_path, caplog):
    dataset = make_dataset({"test": [2, 5, 7], "other": [1, 8, 8, 4]})
    run.write_scores(dataset, tmp_path / "scores.parquet", splits=["test"])
    run.write_scores(dataset, tmp_path / "scores.parquet", p_values=False)
    assert "much shorter" not in caplog.text
    run.write_scores(dataset, tmp_path / "scores.parquet")
    (message,) = (message for message in caplog.messages if "much shorter" in message)
    told = "3 of 7 sequences are much shorter or longer (1 to 8 timesteps) than all that p-values "
    assert message.startswith(f"{told}compare with (3 to 5 timesteps, split 'validation'): ")
    caplog.clear()
    shards = ShardScores(run)
    shards.begin(dataset, ["test"])
    assert not caplog.messages
    shards.begin(dataset, None)
    assert caplog.messages == [message]


def test_write_scores_writes_p_values_unless_told_not_to(run, make_dataset, tmp_path):
    dataset = make_dataset({"train": [3, 4], "test": [5, 3, 4]})
    assert run.write_scores(dataset, tmp_path / "scores.parquet", splits=["test"]) == 3
    scores = pq.read_table(tmp_path / "scores.parquet")
    lengths, values = scores["length"].to_numpy(), scores["score"].to_numpy()
    expected = run.calibration.p_values(lengths, values).astype(np.float32)
    np.testing.assert_array_equal(scores["p_value"].to_numpy(), expected)
    run.write_scores(dataset, tmp_path / "plain.parquet", splits=["test"], p_values=False)
    plain = pq.read_table(tmp_path / "plain.parquet")
    assert plain.column_names == [name for name in scores.column_names if name != "p_value"]


def test_write_embeddings_writes_what_the_encoder_gives(run, make_dataset, tmp_path):
    dataset, seen = make_dataset([3, 4, 4]), []
    count = run.write_embeddings(
        dataset,
        tmp_path / "embeddings.parquet",
        name_splits=False,
        progress=seen.append,
    )
    assert (count, seen[-1].done, seen[-1].total) == (3, 3, 3)
    table = pq.read_table(tmp_path / "embeddings.parquet")
    assert table.column_names == ["key", "length", "embedding"]
    write_parquet(Inference(run.model), dataset, tmp_path / "all.parquet")
    expected = pq.read_table(tmp_path / "all.parquet")["embedding"].to_pylist()
    np.testing.assert_allclose(table["embedding"].to_pylist(), expected, rtol=1e-6)


@pytest.mark.parametrize("names", [("x", "y"), None])
def test_check_features_takes_the_same_or_unnamed(run, named_dataset, names):
    run.check_features(named_dataset(names))


@pytest.mark.parametrize(
    ("names", "num_features", "message"),
    [
        (None, 3, "trained on 2 features per timestep, dataset '.*' has 3"),
        (("x", "z"), 2, r"features 'x' and 'y', in this order, .* has 'x' and 'z'"),
        (("y", "x"), 2, r"features 'x' and 'y', in this order, .* has 'y' and 'x'"),
    ],
    ids=["number", "names", "order"],
)
def test_other_features_are_rejected(run, named_dataset, tmp_path, names, num_features, message):
    dataset = named_dataset(names, num_features)
    for use in (
        lambda: run.check_features(dataset),
        lambda: run.write_scores(dataset, tmp_path / "out.parquet"),
        lambda: run.write_embeddings(dataset, tmp_path / "out.parquet"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert not (tmp_path / "out.parquet").exists()


def test_a_dataset_with_other_offsets_is_rejected(run, named_dataset):
    dataset = dataclasses.replace(named_dataset(("x", "y")), offsets=(0.0, 500.0))
    with pytest.raises(ValueError, match=r"trained with the offsets none, .* has 0.0 and 500.0"):
        run.check_features(dataset)


def test_a_dataset_with_other_static_columns_is_rejected(run, named_dataset):
    dataset = dataclasses.replace(named_dataset(("x", "y")), static_columns=("age",))
    with pytest.raises(ValueError, match=r"with the static columns none, .* has 'age'"):
        run.check_features(dataset)


def test_open_dataset_says_where_it_was(run):
    with pytest.raises(FileNotFoundError, match="data: the dataset directory does not exist"):
        run.open_dataset()


@pytest.mark.parametrize("part", ["model.keras", "calibration.npz"])
def test_an_unfinished_run_is_opened_but_has_no_results(run, part, make_dataset, tmp_path):
    (run.directory / part).unlink()
    unfinished = open_run(run.directory)
    assert unfinished.config == run.config
    with pytest.raises(FileNotFoundError, match=f"{part} is missing: the training of this run"):
        unfinished.check_finished()
    with pytest.raises(FileNotFoundError, match=f"{part} is missing: the training of this run"):
        unfinished.write_scores(make_dataset([3]), tmp_path / "out.parquet")


def test_embeddings_need_no_calibration(run, make_dataset, tmp_path):
    (run.directory / "calibration.npz").unlink()
    run.check_finished(calibrated=False)
    assert run.write_embeddings(make_dataset([3]), tmp_path / "out.parquet") == 1

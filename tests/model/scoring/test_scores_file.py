"""Columns of the scores that are there when they are asked for."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from padless.model import Calibration, Inference
from padless.model.explanation.analysis import analyze_sequences
from padless.model.explanation.score_parts import PARTS
from padless.model.scoring.inference import EMBEDDING, EVERYTHING, SCORED, TIMESTEPS
from padless.model.scoring.scores_file import write_parquet
from padless.pipeline.dataset.names import SCORE_PARTS


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset({"train": [3, 7, 1, 3], "test": [2, 9]})


@pytest.mark.parametrize("alignment", ["dynamic_repeat", "masked_repeat", "padded"])
def test_errors_of_timesteps_are_those_of_each_sequence_alone(
    make_model, dataset, read_sequences, tmp_path, alignment
):
    model = make_model(alignment=alignment, longest=9, mean=[1.0, 2.0], variance=[4.0, 0.25])
    inference = Inference(model, (*EVERYTHING, TIMESTEPS))
    write_parquet(inference, dataset, tmp_path / "scores.parquet", name_splits=False)
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table.schema.field(TIMESTEPS).type == pa.list_(pa.list_(pa.float32(), 2))
    sequences = read_sequences(dataset, "train") | read_sequences(dataset, "test")
    for row in table.to_pylist():
        sequence = sequences[row["key"]]
        errors = np.square(model(sequence[None])[0] - sequence) / [4.0, 0.25]
        np.testing.assert_allclose(row[TIMESTEPS], errors, rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(np.mean(row[TIMESTEPS], axis=0), row["feature_error"], rtol=1e-5)


def test_parts_of_the_score_add_up_to_it(make_model, dataset, read_sequences, tmp_path):
    model, output = make_model(), tmp_path / "scores.parquet"
    write_parquet(Inference(model, SCORED), dataset, output)
    table = pq.read_table(output)
    assert [table.schema.field(name).type for name in SCORE_PARTS] == [pa.float32()] * 4
    total = sum(table[name].to_numpy() for name in SCORE_PARTS)
    np.testing.assert_array_equal(total, table["score"].to_numpy())
    sequences = list(read_sequences(dataset, "train").values())
    for row, analysis in zip(table.to_pylist(), analyze_sequences(model, sequences), strict=False):
        found = {name: row[f"score_{name}"] for name in PARTS}
        assert found == pytest.approx({name: getattr(analysis.parts, name) for name in PARTS})


def test_the_score_beside_its_parts_is_the_score_without_them(make_model, dataset):
    model = make_model()
    (beside,), (alone,) = (
        Inference(model, outputs).windows(dataset, "train") for outputs in (SCORED, EVERYTHING)
    )
    assert beside.keys() - alone.keys() == set(SCORE_PARTS)
    for name in EVERYTHING:
        np.testing.assert_array_equal(beside[name], alone[name])


def test_errors_of_timesteps_of_sequences_of_one_length(make_model, make_dataset):
    dataset, model = make_dataset([4, 4, 4]), make_model()
    (window,) = Inference(model, (*EVERYTHING, TIMESTEPS)).windows(dataset, "train")
    assert [errors.shape for errors in window[TIMESTEPS]] == [(4, 2)] * 3
    means = [errors.mean(axis=0) for errors in window[TIMESTEPS]]
    np.testing.assert_allclose(means, window["feature_error"], rtol=1e-5)


def test_anomalies_are_named_at_a_level(make_model, dataset, tmp_path):
    rng = np.random.default_rng(0)
    inference, output = Inference(make_model()), tmp_path / "scores.parquet"
    scores = np.concatenate([w["score"] for w in inference.windows(dataset, "train")])
    spread = rng.uniform(scores.min(), scores.max(), 99)
    calibration = Calibration("test", np.full(99, 5), spread)
    write_parquet(inference, dataset, output, calibration=calibration, level=0.3)
    table = pq.read_table(output)
    p_values, named = table["p_value"].to_numpy(), table["is_anomaly"].to_numpy()
    np.testing.assert_array_equal(named, p_values <= np.float32(0.3))
    assert 0 < named.sum() < len(named)
    level = float(p_values[0])  # the largest p-value that is named
    write_parquet(inference, dataset, output, calibration=calibration, level=level)
    assert pq.read_table(output)["is_anomaly"][0].as_py()


@pytest.mark.parametrize("level", [0.009, 0.0, -1.0, 1.5, float("nan")])
def test_a_level_that_no_p_value_reaches_is_rejected(make_model, dataset, tmp_path, level):
    calibration = Calibration("test", np.full(99, 5), np.linspace(0, 1, 99))
    with pytest.raises(ValueError, match=r"`level` must be from 0\.01, .* 99 sequences .* got"):
        write_parquet(
            Inference(make_model()),
            dataset,
            tmp_path / "scores.parquet",
            calibration=calibration,
            level=level,
        )
    assert not (tmp_path / "scores.parquet").exists()


def test_a_level_needs_p_values(make_model, dataset, tmp_path):
    with pytest.raises(ValueError, match=r"`level` needs p-values, got 0\.05 without"):
        write_parquet(Inference(make_model()), dataset, tmp_path / "scores.parquet", level=0.05)


@pytest.mark.parametrize("outputs", [EMBEDDING, EVERYTHING], ids=["embed", "score"])
def test_scores_that_are_not_finite_are_counted_and_no_anomaly_or_usual(
    make_model, dataset, tmp_path, caplog, outputs
):
    model, output = make_model(), tmp_path / "scores.parquet"
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    options = {}
    if outputs == EVERYTHING:
        calibration = Calibration("test", np.full(99, 5), np.linspace(0, 1, 99))
        options = {"calibration": calibration, "level": 0.5}
    write_parquet(Inference(model, outputs), dataset, output, **options)
    what = "a score" if options else "an embedding"
    assert f"{output}: 6 of 6 sequences have {what} that is not finite" in caplog.text
    if options:
        table = pq.read_table(output)
        assert np.isnan(table["p_value"].to_numpy()).all()
        assert table["is_anomaly"].to_pylist() == [None] * 6

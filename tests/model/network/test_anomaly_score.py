"""The anomaly score against NumPy, scikit-learn, and anomalies that each of its parts must find."""

import keras
import numpy as np
import pytest
from sklearn.covariance import OAS
from threadpoolctl import threadpool_info, threadpool_limits

from padless.model import (
    AnomalyScore,
    Inference,
    TrainingOptions,
    fit_anomaly_score,
    load_model,
    open_run,
    train,
)
from padless.model.network.anomaly_score import SMALLEST_ERROR, WEIGHTS, Traits, log_of
from padless.model.scoring.anomaly_fit import choose_shrinkage, fit_traits
from padless.model.scoring.inference import WITH_BASELINES

SIZE, LEVEL = 5, 4
SLOPE = np.linspace(-0.2, 0.3, LEVEL)


def draw(count, seed=0, shift=0.0):
    """Draws correlated shapes and levels, and errors whose logarithm goes with the level."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(SIZE + LEVEL, SIZE + LEVEL))
    vectors = rng.normal(size=(count, SIZE + LEVEL)) @ mixing + 3
    level = vectors[:, SIZE:]
    logarithm = level @ SLOPE + 0.5 * rng.normal(size=count) + shift
    return {
        "pooled": vectors[:, :SIZE].astype(np.float32),
        "level": level.astype(np.float32),
        "error": np.exp(logarithm).astype(np.float32),
        "unexplained": np.exp(0.3 * rng.normal(size=count) - 2 + shift).astype(np.float32),
        "length": rng.integers(3, 9, count),
    }


def halve(window):
    """Cuts a window into two of unequal size."""
    return [{name: values[part] for name, values in window.items()}
            for part in (slice(None, 7), slice(7, None))]  # fmt: skip


def traits(window):
    return Traits(*(window[name] for name in Traits._fields))


def build_layer():
    layer = AnomalyScore()
    layer.build((None, SIZE), (None, LEVEL))
    return layer


def fitted_layer(training, held_out):
    layer = build_layer()
    return layer, fit_anomaly_score(layer, halve(training), "validation", halve(held_out))


@pytest.mark.parametrize("name", ["pooled", "level"])
def test_vectors_are_whitened_as_scikit_learn_shrinks_them(name):
    window = draw(40)
    fitted = getattr(fit_traits(halve(window)), name)
    vectors = window[name].astype(np.float64)
    np.testing.assert_allclose(fitted.mean, vectors.mean(axis=0))
    deviation = vectors.std(axis=0)
    expected = OAS().fit((vectors - fitted.mean) / deviation)
    scale = np.outer(deviation, deviation)
    np.testing.assert_allclose(
        fitted.whitening @ fitted.whitening.T, expected.precision_ / scale, rtol=1e-6
    )
    assert 0 < expected.shrinkage_ < 0.5
    correlation = np.corrcoef(vectors.T)
    assert choose_shrinkage(correlation, 40) == pytest.approx(expected.shrinkage_)


def test_the_fit_leaves_no_core_spinning(monkeypatch):
    eigh, threads = np.linalg.eigh, []

    def count(matrix):
        threads.extend(
            pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        )
        return eigh(matrix)

    monkeypatch.setattr(np.linalg, "eigh", count)
    with threadpool_limits(limits=2, user_api="blas"):
        fit_traits(halve(draw(20)))
    assert {*threads} == {1}


def test_the_fit_finds_how_the_error_goes_with_the_level():
    fitted = fit_traits(halve(draw(20_000)))
    np.testing.assert_allclose(fitted.slope, SLOPE, atol=0.02)


def test_score_is_what_its_formula_says():
    training, held_out, new = draw(300), draw(200, seed=1, shift=0.7), draw(50, seed=2)
    layer, _ = fitted_layer(training, held_out)
    fitted = fit_traits([training])

    def distance(name):
        one = getattr(fitted, name)
        precision = one.whitening @ one.whitening.T

        def squared(window):
            centred = window[name] - one.mean
            return np.einsum("ni,ij,nj->n", centred, precision, centred)

        return squared(new) / squared(held_out).mean()

    def surprise(logarithm):
        usual = logarithm(held_out)
        return ((logarithm(new) - usual.mean()) / usual.std()) ** 2

    terms = [
        distance("pooled"),
        distance("level"),
        surprise(lambda w: np.log(w["error"]) - (w["level"] - fitted.level.mean) @ fitted.slope),
        surprise(lambda w: np.log(w["unexplained"])),
    ]
    received = layer(*traits(new))
    np.testing.assert_allclose(received, np.dot(WEIGHTS, terms), rtol=1e-3)
    assert received.dtype == "float32"
    assert sum(WEIGHTS) == pytest.approx(1)


@pytest.mark.parametrize("rank", [1, 3, SIZE])
def test_score_is_1_on_average_though_the_covariance_is_shrunk(rank):
    training, held_out = draw(60), draw(500, seed=1, shift=0.7)
    for window in (training, held_out):
        window["pooled"][:, rank:] = window["pooled"][:, :1]
        window["level"][:, rank:] = window["level"][:, :1]
    layer, calibration = fitted_layer(training, held_out)
    assert calibration.score.mean() == pytest.approx(1, rel=1e-3)
    parts = np.array(layer.parts(traits(held_out)))
    parts[:, 2:] = np.square(parts[:, 2:])
    np.testing.assert_allclose(parts.mean(axis=0), 1, rtol=1e-3)


def test_each_part_finds_what_the_others_cannot_see():
    layer, calibration = fitted_layer(draw(2000), draw(2000, seed=1))
    usual, training = traits(draw(200, seed=2)), draw(2000)
    unusual = np.quantile(calibration.score, 0.95)

    def alarms(**changed):
        return (np.array(layer(*usual._replace(**changed))) > unusual).mean()

    assert alarms() < 0.1
    for factor in (np.exp(4), np.exp(-4)):
        assert alarms(error=factor * usual.error) > 0.95
        assert alarms(unexplained=factor * usual.unexplained) > 0.95
    # As far away as five standard deviations, with the error that is expected there.
    away = 5 * training["level"].std(axis=0)
    assert alarms(level=usual.level + away, error=usual.error * np.exp(away @ SLOPE)) > 0.95
    assert alarms(pooled=usual.pooled + 5 * training["pooled"].std(axis=0)) > 0.95


def test_calibration_holds_the_scores_that_the_layer_gives():
    held_out = draw(200, seed=1)
    layer, calibration = fitted_layer(draw(300), held_out)
    score = np.array(layer(*traits(held_out)))
    order = np.lexsort((score, held_out["length"]))
    assert calibration.split == "validation"
    np.testing.assert_array_equal(calibration.length, held_out["length"][order])
    np.testing.assert_allclose(calibration.score, score[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["error", "unexplained"])
def test_score_is_nan_before_it_is_fitted_and_where_the_error_is(name):
    window = draw(3)
    layer = build_layer()
    assert np.isnan(layer(*traits(window))).all()
    layer, _ = fitted_layer(draw(30), draw(30))
    window[name] = np.float32([np.nan, 0.0, np.inf])
    score = layer(*traits(window))
    np.testing.assert_array_equal(np.isfinite(score), [False, True, False])
    assert np.isnan(score[0])
    assert np.isposinf(score[2])


def test_a_fit_to_one_sequence_and_to_equal_ones_stays_finite():
    layer = build_layer()
    window = draw(1)
    for count in (1, 30):
        windows = [{name: np.repeat(values, count, axis=0) for name, values in window.items()}]
        calibration = fit_anomaly_score(layer, windows, "train", windows)
        np.testing.assert_allclose(calibration.score, 0, atol=1e-6)
        assert np.isfinite(layer(*traits(draw(9)))).all()


@pytest.mark.parametrize("count", [2, 7, 39])
def test_equal_sequences_held_out_are_as_usual_as_each_other(count):
    held_out = [{name: np.repeat(values, count, axis=0) for name, values in draw(1, 5).items()}]
    layer = build_layer()
    calibration = fit_anomaly_score(layer, [draw(50)], "validation", held_out)
    again = np.array(layer(*traits(held_out[0])))
    np.testing.assert_allclose(again, calibration.score, rtol=1e-3, atol=1e-6)
    assert (calibration.p_values(held_out[0]["length"], again) == 1).all()


def test_values_that_hardly_vary_are_not_blown_up():
    count = 20_000
    window = draw(count)
    window["pooled"][:, 1] = 3.0
    window["pooled"][:, 2] = np.where(np.arange(count) % 2, 3.0, np.nextafter(np.float32(3), 4))
    fitted = fit_traits([window]).pooled
    assert np.abs(fitted.whitening).max() < 10
    others = [0, 3, 4]
    alone = fit_traits([window | {"pooled": window["pooled"][:, others]}]).pooled
    received = fitted.whitening @ fitted.whitening.T
    expected = alone.whitening @ alone.whitening.T
    np.testing.assert_allclose(received[np.ix_(others, others)], expected, rtol=0.01, atol=0.001)


def test_more_values_than_sequences_can_be_fitted():
    fitted = fit_traits([draw(4)]).pooled
    assert np.isfinite(fitted.whitening).all()
    assert np.linalg.matrix_rank(fitted.whitening) == SIZE


def test_directions_that_are_rounding_alone_are_not_blown_up():
    window = draw(10_000)
    rng = np.random.default_rng(0)
    copy = window["pooled"][:, :1] + 1e-5 * rng.normal(size=(10_000, 1)).astype(np.float32)
    window["pooled"] = np.hstack([window["pooled"][:, :-1], copy])
    fitted = fit_traits([window]).pooled
    white = (window["pooled"] - fitted.mean) @ fitted.whitening
    assert white.std(axis=0).min() < 0.01
    np.testing.assert_allclose(np.sort(white.std(axis=0))[1:], 1, rtol=0.01)


@pytest.mark.parametrize(
    ("training", "held_out", "message"),
    [
        ([], [draw(3)], "Split 'train': there must be at least one sequence to fit to, got none"),
        ([draw(3)], [], "Split 'dev': there must be at least one sequence, got none"),
        (
            [draw(3) | {"error": np.float32([1, np.nan, np.inf])}],
            [draw(3)],
            "Split 'train': embeddings and errors must be finite, got 2 that are not",
        ),
        (
            [draw(3)],
            [draw(3) | {"unexplained": np.float32([1, 2, np.inf])}],
            "Split 'dev': embeddings and errors must be finite, got 1 that are not",
        ),
    ],
    ids=["no training", "none held out", "not finite", "held out not finite"],
)
def test_fit_anomaly_score_rejects(training, held_out, message):
    with pytest.raises(ValueError, match=message):
        fit_anomaly_score(build_layer(), training, "dev", held_out)


def test_log_of_no_error_is_as_low_as_it_gets():
    np.testing.assert_allclose(log_of(np.float32([1.0, 0.0])), [0, np.log(SMALLEST_ERROR)])


@pytest.fixture(scope="module")
def waves(tmp_path_factory, store_sequences):
    """A run on waves of one pitch, and what it says of others."""
    rng = np.random.default_rng(0)

    def make(count, pitch=0.6):
        times = [np.arange(n) + rng.uniform(0, 10) for n in rng.integers(20, 41, count)]
        waves = [np.stack([np.sin(pitch * t), np.cos(pitch * t)], axis=1) for t in times]
        return [np.float32(wave + rng.normal(0, 0.1, wave.shape)) for wave in waves]

    def spoil(sequence):
        sequence = sequence.copy()
        sequence[rng.integers(len(sequence))] += 1.5
        return sequence

    splits = {"train": make(300), "validation": make(200), "normal": make(200),
              "spikes": [spoil(s) for s in make(200)],
              "slower": make(200, pitch=0.45)}  # fmt: skip
    dataset = store_sequences(splits)
    run = tmp_path_factory.mktemp("waves") / "run"
    options = TrainingOptions(epochs=12, batch_size=16)
    train(dataset.split("train").files[0].parent, run, options=options)
    inference = Inference(load_model(run), WITH_BASELINES)
    windows = {name: list(inference.windows(dataset, name)) for name in splits}
    return run, {name: {key: np.concatenate([w[key] for w in parts]) for key in parts[0]}
                 for name, parts in windows.items()}  # fmt: skip


def test_anomalies_raise_alarms_and_normal_sequences_few(waves):
    run, told = waves
    calibration = open_run(run).calibration
    alarms = {
        name: (calibration.p_values(told[name]["length"], told[name]["score"]) < 0.05).mean()
        for name in ("normal", "spikes", "slower")
    }
    assert alarms["normal"] < 0.12
    assert alarms["spikes"] > 0.9
    assert alarms["slower"] > 0.9


def test_the_saved_model_knows_the_score(waves):
    run, told = waves
    model = keras.saving.load_model(str(run / "model.keras"), safe_mode=True)
    assert not any(weight.trainable for weight in model.anomaly_score.weights)
    window = told["normal"]
    again = model.anomaly_score(*traits(window))
    np.testing.assert_allclose(again, window["score"], rtol=1e-4)
    assert np.isfinite(window["score"]).all()

"""The anomaly score against NumPy, scikit-learn, and anomalies that each of its parts must find."""

import keras
import numpy as np
import pytest
from sklearn.covariance import OAS

from padless.model import (
    AnomalyScore,
    Inference,
    TrainingOptions,
    fit_anomaly_score,
    load_model,
    open_run,
    train,
)
from padless.model.network.anomaly_score import log_error
from padless.model.scoring.anomaly_fit import choose_shrinkage, fit_codes
from padless.model.scoring.inference import WITH_BASELINES

SIZE = 5


def draw(count, seed=0, shift=0.0):
    """Draws correlated codes, and errors whose logarithm goes with them."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(SIZE, SIZE))
    code = rng.normal(size=(count, SIZE)) @ mixing + 3
    logarithm = code @ np.linspace(-0.2, 0.3, SIZE) + 0.5 * rng.normal(size=count) + shift
    return {
        "code": code.astype(np.float32),
        "error": np.exp(logarithm).astype(np.float32),
        "length": rng.integers(3, 9, count),
    }


def halve(window):
    """Cuts a window into two of unequal size."""
    return [{name: values[part] for name, values in window.items()}
            for part in (slice(None, 7), slice(7, None))]  # fmt: skip


def build_layer(size=SIZE):
    layer = AnomalyScore()
    layer.build((None, size), (None,))
    return layer


def fitted_layer(training, held_out):
    layer = build_layer()
    return layer, fit_anomaly_score(layer, halve(training), "validation", halve(held_out))


def test_codes_are_whitened_as_scikit_learn_shrinks_them():
    window = draw(40)
    fitted = fit_codes(halve(window))
    code = window["code"].astype(np.float64)
    np.testing.assert_allclose(fitted.mean, code.mean(axis=0))
    deviation = code.std(axis=0)
    expected = OAS().fit((code - fitted.mean) / deviation)
    scale = np.outer(deviation, deviation)
    np.testing.assert_allclose(
        fitted.whitening @ fitted.whitening.T, expected.precision_ / scale, rtol=1e-6
    )
    assert 0 < expected.shrinkage_ < 0.5
    correlation = np.corrcoef(code.T)
    assert choose_shrinkage(correlation, 40) == pytest.approx(expected.shrinkage_)


def test_the_fit_finds_how_the_error_goes_with_the_code():
    fitted = fit_codes(halve(draw(20_000)))
    np.testing.assert_allclose(fitted.slope, np.linspace(-0.2, 0.3, SIZE), atol=0.02)


def test_score_is_what_its_formula_says():
    training, held_out, new = draw(300), draw(200, seed=1, shift=0.7), draw(50, seed=2)
    layer, _ = fitted_layer(training, held_out)
    fitted = fit_codes([training])
    precision = fitted.whitening @ fitted.whitening.T

    def residual(window):
        return np.log(window["error"]) - (window["code"] - fitted.mean) @ fitted.slope

    def squared(window):
        centred = window["code"] - fitted.mean
        return np.einsum("ni,ij,nj->n", centred, precision, centred)

    distance = SIZE * squared(new) / squared(held_out).mean()
    usual = residual(held_out)
    surprise = (residual(new) - usual.mean()) / usual.std()
    expected = (distance + SIZE**0.5 * surprise**2) / (SIZE + SIZE**0.5)
    received = layer(new["code"], new["error"])
    np.testing.assert_allclose(received, expected, rtol=1e-3)
    assert received.dtype == "float32"


@pytest.mark.parametrize("rank", [1, 3, SIZE])
def test_score_is_1_on_average_though_the_covariance_is_shrunk(rank):
    training, held_out = draw(60), draw(500, seed=1, shift=0.7)
    for window in (training, held_out):
        window["code"][:, rank:] = window["code"][:, :1]
    layer, calibration = fitted_layer(training, held_out)
    assert calibration.score.mean() == pytest.approx(1, rel=1e-3)
    assert np.mean(layer.distance(held_out["code"])) == pytest.approx(1, rel=1e-3)
    surprise = layer.surprise(held_out["code"], held_out["error"])
    assert np.mean(np.square(surprise)) == pytest.approx(1, rel=1e-3)


def test_both_parts_scatter_alike():
    held_out = draw(5000, seed=1)
    layer, _ = fitted_layer(draw(5000), held_out)
    distance = SIZE * np.array(layer.distance(held_out["code"]))
    surprise = SIZE**0.5 * np.square(layer.surprise(held_out["code"], held_out["error"]))
    assert distance.std() == pytest.approx(surprise.std(), rel=0.1)


def test_each_part_finds_what_the_other_cannot_see():
    layer, calibration = fitted_layer(draw(2000), draw(2000, seed=1))
    code, error = (draw(200, seed=2)[name] for name in ("code", "error"))
    unusual = np.quantile(calibration.score, 0.95)
    assert (np.array(layer(code, error)) > unusual).mean() < 0.1
    assert (np.array(layer(code, np.exp(3) * error)) > unusual).mean() > 0.95
    assert (np.array(layer(code, np.exp(-3) * error)) > unusual).mean() > 0.95
    # As far away as five standard deviations, with the error that is expected there.
    away = 5 * draw(2000)["code"].std(axis=0)
    expected = error * np.exp(away @ np.linspace(-0.2, 0.3, SIZE))
    assert (np.array(layer(code + away, expected)) > unusual).mean() > 0.95


def test_calibration_holds_the_scores_that_the_layer_gives():
    held_out = draw(200, seed=1)
    layer, calibration = fitted_layer(draw(300), held_out)
    order = np.lexsort((layer(held_out["code"], held_out["error"]), held_out["length"]))
    assert calibration.split == "validation"
    np.testing.assert_array_equal(calibration.length, held_out["length"][order])
    score = np.array(layer(held_out["code"], held_out["error"]))[order]
    np.testing.assert_allclose(calibration.score, score, rtol=1e-4, atol=1e-6)


def test_score_is_nan_before_it_is_fitted_and_where_the_error_is():
    window = draw(3)
    layer = build_layer()
    assert np.isnan(layer(window["code"], window["error"])).all()
    layer, _ = fitted_layer(draw(30), draw(30))
    score = layer(window["code"], np.float32([np.nan, 0.0, np.inf]))
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
        assert np.isfinite(layer(*(draw(9)[name] for name in ("code", "error")))).all()


@pytest.mark.parametrize("count", [2, 7, 39])
def test_equal_sequences_held_out_are_as_usual_as_each_other(count):
    held_out = [{name: np.repeat(values, count, axis=0) for name, values in draw(1, 5).items()}]
    layer = build_layer()
    calibration = fit_anomaly_score(layer, [draw(50)], "validation", held_out)
    again = np.array(layer(held_out[0]["code"], held_out[0]["error"]))
    np.testing.assert_allclose(again, calibration.score, rtol=1e-3, atol=1e-6)
    assert (calibration.p_values(held_out[0]["length"], again) == 1).all()


def test_values_that_hardly_vary_are_not_blown_up():
    count = 20_000
    window = draw(count)
    window["code"][:, 1] = 3.0
    window["code"][:, 2] = np.where(np.arange(count) % 2, 3.0, np.nextafter(np.float32(3), 4))
    fitted = fit_codes([window])
    assert np.abs(fitted.whitening).max() < 10
    others = [0, 3, 4]
    alone = fit_codes([window | {"code": window["code"][:, others]}])
    received = fitted.whitening @ fitted.whitening.T
    expected = alone.whitening @ alone.whitening.T
    np.testing.assert_allclose(received[np.ix_(others, others)], expected, rtol=0.01, atol=0.001)


def test_more_values_than_sequences_can_be_fitted():
    fitted = fit_codes([draw(4)])
    assert np.isfinite(fitted.whitening).all()
    assert np.linalg.matrix_rank(fitted.whitening) == SIZE


def test_directions_that_are_rounding_alone_are_not_blown_up():
    window = draw(10_000)
    rng = np.random.default_rng(0)
    copy = window["code"][:, :1] + 1e-5 * rng.normal(size=(10_000, 1)).astype(np.float32)
    window["code"] = np.hstack([window["code"][:, :-1], copy])
    fitted = fit_codes([window])
    white = (window["code"] - fitted.mean) @ fitted.whitening
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
            "Split 'train': codes and errors must be finite, got 2 that are not",
        ),
        (
            [draw(3)],
            [draw(3) | {"error": np.float32([1, 2, np.inf])}],
            "Split 'dev': codes and errors must be finite, got 1 that are not",
        ),
    ],
    ids=["no training", "none held out", "not finite", "held out not finite"],
)
def test_fit_anomaly_score_rejects(training, held_out, message):
    with pytest.raises(ValueError, match=message):
        fit_anomaly_score(build_layer(), training, "dev", held_out)


def test_log_error_of_none_is_as_low_as_it_gets():
    np.testing.assert_allclose(log_error(np.float32([1.0, 0.0])), [0, np.log(1e-12)])


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
    again = model.anomaly_score(window["code"], window["error"])
    np.testing.assert_allclose(again, window["score"], rtol=1e-4)
    assert np.isfinite(window["score"]).all()

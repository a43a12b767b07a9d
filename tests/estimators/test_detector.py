"""Scores, thresholds and where a sequence is unusual."""

import numpy as np
import pytest

from padless.estimators import SequenceAnomalyDetector


def test_predictions_are_the_sign_of_the_decision(detector, waves):
    decision = detector.decision_function(waves)
    np.testing.assert_array_equal(decision, detector.score_samples(waves) - detector.offset_)
    np.testing.assert_array_equal(detector.predict(waves), np.where(decision < 0, -1, 1))
    assert decision.dtype == detector.score_samples(waves).dtype == np.float64
    assert detector.threshold_ == -detector.offset_


def test_a_tenth_of_the_sequences_of_the_fit_are_anomalies_by_default(detector, waves):
    assert (detector.predict(waves) == -1).sum() == len(waves) // 10


def test_what_is_unlike_the_others_scores_lower(detector, waves):
    odd = [10 * wave + 100 for wave in waves[:5]]
    assert detector.score_samples(odd).max() < detector.score_samples(waves).min()
    assert (detector.predict(odd) == -1).all()
    assert (detector.p_values(odd) < detector.p_values(waves).mean()).all()


def test_errors_show_the_timestep_at_fault(detector, waves):
    spiked = [wave.copy() for wave in waves[:4]]
    for wave in spiked:
        wave[2, 1] += 50
    errors = detector.timestep_errors(spiked)
    assert [error.shape for error in errors] == [wave.shape for wave in spiked]
    assert all(np.unravel_index(error.argmax(), error.shape) == (2, 1) for error in errors)


@pytest.fixture(scope="module")
def by_level(encoder, frame):
    """A detector by level, which takes the finished run of the encoder."""
    return SequenceAnomalyDetector(**encoder.get_params(), level=0.2).fit(frame)


def test_a_level_is_the_largest_p_value_of_an_anomaly(by_level, waves):
    p_values = by_level.p_values(waves)
    np.testing.assert_array_equal(by_level.predict(waves) == -1, p_values <= np.float32(0.2))
    np.testing.assert_array_equal(by_level.decision_function(waves), p_values - by_level.offset_)
    assert by_level.threshold_ == 0.2
    assert by_level.offset_ == pytest.approx(0.2)
    assert (p_values > 0).all()
    assert (p_values <= 1).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": 0.1, "level": 0.5}, "must not both be given, got 0.1 and 0.5"),
        ({"contamination": 0.0}, "`contamination` must be above 0 and at most 0.5, got 0.0"),
        ({"contamination": 0.6}, "at most 0.5, got 0.6"),
        ({"level": 0.01}, r"`level` must be from 0.\d+, the smallest p-value .* got 0.01"),
        ({"level": 1.5}, "to 1, got 1.5"),
        ({"level": 0.5, "validation_fraction": 0}, "comparison with 0 sequences gives, to 1, got"),
    ],
)
def test_a_threshold_that_cannot_be_is_named_before_any_work(parameters, message, waves):
    with pytest.raises(ValueError, match=message):
        SequenceAnomalyDetector(**parameters).fit(waves)


def test_a_sequence_that_cannot_be_scored_is_an_anomaly(detector, waves, monkeypatch):
    trained = detector._trained
    scored = trained.score

    def score(records, **options):
        found = scored(records, **options)
        found["score"][0] = np.nan
        return found

    monkeypatch.setattr(trained, "score", score)
    assert detector.predict(waves)[0] == -1

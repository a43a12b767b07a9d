"""The parts of a score add up to it, and so do the shares of a level."""

import numpy as np
import pytest

from padless.model.explanation.analysis import SequenceScorer, analyze_sequences
from padless.model.explanation.score_parts import PARTS, ScoreParts, divide_level

LENGTHS = [5, 9, 5, 1, 12]


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(mean=[0.1, -0.1], variance=[0.5, 0.4])


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(0)
    return [rng.normal(size=(length, 2)).astype(np.float32) for length in LENGTHS]


@pytest.fixture(scope="module")
def analyses(model, sequences):
    return analyze_sequences(model, sequences)


def test_parts_add_up_to_the_score(analyses):
    for analysis in analyses:
        parts = [getattr(analysis.parts, name) for name in PARTS]
        assert sum(parts) == pytest.approx(analysis.score, rel=1e-5)
        assert sum(analysis.parts.shares().values()) == pytest.approx(1)
        shares = list(analysis.parts.shares().values())
        assert shares == sorted(shares, reverse=True)


def test_analyses_are_those_of_each_sequence_alone(model, sequences, analyses):
    for sequence, analysis in zip(sequences, analyses, strict=True):
        alone = model.analyze(sequence[None], timesteps=True)
        assert analysis.original is sequence
        assert analysis.score == pytest.approx(float(alone["score"][0]), rel=1e-4)
        np.testing.assert_allclose(
            analysis.timestep_error, alone["timestep_error"][0], rtol=1e-4, atol=1e-6
        )
        np.testing.assert_allclose(analysis.reconstruction, model(sequence[None])[0], atol=1e-5)
        assert analysis.feature_error.mean() == pytest.approx(analysis.error, rel=1e-5)


def test_scores_are_in_the_order_of_the_sequences(model, sequences, analyses):
    score = SequenceScorer(model)
    scores = score(sequences)
    np.testing.assert_allclose(scores, [analysis.score for analysis in analyses], rtol=1e-5)
    assert len(score([])) == 0


def test_many_timesteps_come_in_several_batches(model, sequences, analyses, monkeypatch):
    monkeypatch.setattr("padless.model.scoring.inference._MAX_BATCH_TIMESTEPS", 10)
    np.testing.assert_allclose(
        SequenceScorer(model)(sequences), [analysis.score for analysis in analyses], rtol=1e-5
    )


def test_the_level_is_divided_among_means_and_deviations(model):
    usual = np.asarray(model.anomaly_score.level_mean)
    level = usual.copy()
    level[1] -= 2.0  # the mean of feature 1
    shares = divide_level(model.anomaly_score, level)
    assert sum(share.share for share in shares) == pytest.approx(1)
    assert (shares[0].feature, shares[0].is_mean, shares[0].is_high) == (1, True, False)
    level = usual.copy()
    level[2] += 3.0  # the deviation of feature 0
    first = divide_level(model.anomaly_score, level)[0]
    assert (first.feature, first.is_mean, first.is_high) == (0, False, True)


def test_the_usual_level_has_nothing_to_divide(model):
    assert divide_level(model.anomaly_score, np.asarray(model.anomaly_score.level_mean)) == []


@pytest.mark.parametrize("part", [np.nan, np.inf])
def test_parts_that_are_not_finite_have_no_shares(part):
    shares = ScoreParts.of(np.array([part, 1, 1, 1])).shares()
    assert all(np.isnan(share) for share in shares.values())

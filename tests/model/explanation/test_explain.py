"""What is at fault is found where it was put."""

import numpy as np
import pytest

from padless.model.explanation import explain, replacement
from padless.model.explanation.analysis import SequenceScorer, analyze_sequences
from padless.model.explanation.explain import FoundSequence, explain_anomaly
from padless.model.explanation.places import Place, read_places
from padless.model.explanation.replacement import replace_features, replace_spans, windows
from padless.model.explanation.spans import Span, find_spans
from padless.model.explanation.usual import UsualSequences, stretch


@pytest.fixture(scope="module")
def model(make_model):
    return make_model(mean=[0.0, 0.0], variance=[0.5, 0.5])


@pytest.fixture(scope="module")
def score(model):
    return SequenceScorer(model)


@pytest.fixture(scope="module")
def usual(model):
    rng = np.random.default_rng(0)
    waves = [np.sin(np.linspace(0, 6, n))[:, None] * [1, 0.5] for n in (20, 24, 30) * 5]
    sequences = [(w + rng.normal(0, 0.05, w.shape)).astype(np.float32) for w in waves]
    errors = [analysis.timestep_error for analysis in analyze_sequences(model, sequences)]
    return UsualSequences.of("train", sequences, errors)


def found(model, sequence):
    (analysis,) = analyze_sequences(model, [sequence])
    return FoundSequence(Place("test", 0), "key", None, 0.01, analysis)


@pytest.fixture(scope="module")
def spiked(model, usual):
    sequence = usual.nearest(usual.sequences[1], 1)[0].copy()
    assert len(sequence) == 24
    sequence[9:12, 1] += 30
    return found(model, sequence)


def test_explain_names_feature_and_timesteps_of_a_spike(score, usual, spiked):
    explanation = explain_anomaly(score, spiked, usual)
    assert explanation.features[0] == 1
    assert explanation.spans[1]
    assert any(span.first <= 11 and span.last >= 9 for span in explanation.spans[1])
    part = explanation.replacement
    assert part.feature == 1
    assert part.span.first <= 9 <= 11 <= part.span.last
    assert part.score < 0.5 * spiked.analysis.score


def test_a_replacement_is_scored_by_the_model(model, score, usual, spiked):
    best = replace_features(score, spiked.analysis, usual)[0]
    (donor, *_) = usual.nearest(spiked.analysis.original, 1)
    repaired = spiked.analysis.original.copy()
    repaired[:, best.feature] = donor[:, best.feature]
    assert best.score <= found(model, repaired).analysis.score * 1.0001
    assert best.score < spiked.analysis.score
    assert best.span is None


def test_replacements_come_by_rising_score(score, usual, spiked):
    scores = [r.score for r in replace_spans(score, spiked.analysis, usual, [1, 0])]
    assert scores == sorted(scores)
    assert len(scores) == 2 * len(windows(24))


def test_a_usual_sequence_is_not_explained_by_one_part(model, score, usual):
    sequence = found(model, usual.sequences[0])
    explanation = explain_anomaly(score, sequence, usual)
    told = explanation.replacement
    assert told is None or told.score <= 0.9 * sequence.analysis.score
    assert sorted(explanation.features) == [0, 1]


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_short_sequences_are_explained_too(model, score, usual, length):
    sequence = found(model, np.full((length, 2), 9, np.float32))
    assert explain_anomaly(score, sequence, usual).features
    assert all(0 <= span.first <= span.last < length for span in windows(length))


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([], []),
        ([4], [Span(4, 4)]),
        ([4, 5, 7], [Span(4, 7)]),
        ([0, 1, 20, 39], [Span(0, 1), Span(20, 20), Span(39, 39)]),
        ([0, 10, 20, 21, 30, 31], [Span(0, 0), Span(20, 21), Span(30, 31)]),
    ],
)
def test_find_spans_joins_what_is_near_and_keeps_three(above, expected):
    error = np.zeros(40)
    error[above] = 5.0
    if above == [0, 10, 20, 21, 30, 31]:
        error[0] = 6.0
    assert find_spans(error, 2.0) == expected


def test_find_spans_takes_missing_values_and_no_limit():
    assert find_spans(np.array([np.nan, 5.0, np.nan]), 1.0) == [Span(1, 1)]
    assert find_spans(np.array([1.0, 5.0]), float("nan")) == []
    assert (str(Span(3, 3)), str(Span(3, 1200))) == ("3", "3 to 1,200")


def test_stretch_keeps_both_ends_and_lets_missing_values_be_missing():
    values = np.array([[0.0, 1.0], [1.0, np.nan], [4.0, 3.0]])
    np.testing.assert_allclose(stretch(values, 5)[:, 0], [0, 0.5, 1, 2.5, 4])
    np.testing.assert_allclose(stretch(values, 5)[:, 1], [1, np.nan, np.nan, np.nan, 3])
    np.testing.assert_array_equal(stretch(values, 3), values)
    assert stretch(values[:1], 4).tolist() == [[0.0, 1.0]] * 4
    assert stretch(values, 1).tolist() == [[0.0, 1.0]]


def test_the_usual_course_is_a_range_and_a_limit():
    sequences = [np.full((n, 2), value, np.float32) for n, value in ((5, 0), (7, 1), (9, 2))]
    errors = [np.full((n, 2), 0.5) for n in (5, 7, 9)]
    usual = UsualSequences.of("validation", sequences, errors)
    assert usual.num_sequences == 3
    np.testing.assert_allclose(usual.at(4)[:, 0, 0], [0.1, 1.9])
    nearest = usual.nearest(np.full((6, 2), 1.9, np.float32), 2)
    assert [part[0, 0] for part in nearest] == [2, 1]
    assert {part.shape for part in nearest} == {(6, 2)}
    np.testing.assert_allclose(usual.error_limit, [0.5, 0.5])


def test_the_usual_course_has_no_value_where_no_sequence_has_one():
    sequences = [np.array([[1.0, np.nan], [2.0, np.nan]], np.float32)] * 2
    usual = UsualSequences.of("train", sequences, sequences)
    assert np.isnan(usual.at(3)[:, :, 1]).all()
    assert np.isnan(usual.error_limit[1])


def test_read_places_reads_the_sequences_that_are_there(make_dataset, read_sequences):
    dataset = make_dataset({"train": [3, 5, 4, 9, 2] * 3, "test": [4, 6]}, num_shards=2)
    expected = {split: list(read_sequences(dataset, split).values()) for split in dataset.splits}
    places = [Place("test", 1), Place("train", 14), Place("train", 0), Place("train", 14)]
    sequences = read_places(dataset, places)
    assert len(sequences) == 3
    for place, sequence in sequences.items():
        np.testing.assert_array_equal(sequence, expected[place.split][place.position])


def test_read_places_names_a_damaged_file(make_dataset):
    dataset = make_dataset([3, 4, 5])
    (file,) = dataset.split("train").files
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    with pytest.raises((ValueError, RuntimeError), match=file.name):
        read_places(dataset, [Place("train", 0)])


def test_a_part_may_be_replaced_on_the_level_that_the_sequence_had(usual):
    original, donor = usual.sequences[0], usual.nearest(usual.sequences[0], 2)[1] + 3
    as_it_is, on_level = replacement._replace(original, donor, 1, Span(2, 5))
    np.testing.assert_array_equal(as_it_is[2:6, 1], donor[2:6, 1])
    np.testing.assert_array_equal(as_it_is[6:, 1], original[6:, 1])
    for changed in (as_it_is, on_level):
        np.testing.assert_array_equal(changed[:, 0], original[:, 0])
    assert on_level[:, 1].mean() == pytest.approx(original[:, 1].mean(), abs=1e-5)
    assert on_level[:, 1].std() == pytest.approx(original[:, 1].std(), rel=1e-4)


def test_what_is_missing_stays_missing(usual):
    original = usual.sequences[0].copy()
    original[3, 1] = np.nan
    donor = usual.nearest(original, 1)[0].copy()
    donor[4, 1] = np.nan
    for changed in replacement._replace(original, donor, 1, None):
        assert np.isnan(changed[:, 1]).nonzero()[0].tolist() == [3]


def test_the_shortest_part_that_explains_nearly_as_much_is_told():
    parts = [(Span(0, 9), 1.0), (Span(2, 3), 1.5), (Span(2, 2), 4.0)]
    found = [replacement.Replacement(0, span, score) for span, score in parts]
    assert explain._choose(found, 10.0, 10).span == Span(2, 3)
    whole = replacement.Replacement(1, None, 0.9)
    assert explain._choose([whole, *found], 10.0, 10).span == Span(2, 3)
    assert explain._choose([whole, found[2]], 10.0, 10) is whole
    assert explain._choose([], 10.0, 10) is None


def test_one_feature_is_not_replaced_as_a_whole(make_model):
    model = make_model(1, mean=[0.0], variance=[1.0])
    score = SequenceScorer(model)
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(9, 1)).astype(np.float32) for _ in range(5)]
    usual = UsualSequences.of("train", sequences, sequences)
    sequence = found(model, sequences[0] + 5)
    assert replace_features(score, sequence.analysis, usual) == []
    assert explain_anomaly(score, sequence, usual).features == [0]


def test_long_sequences_are_tried_less_often(usual, spiked, monkeypatch):
    monkeypatch.setattr(replacement, "_MOST_TIMESTEPS", 24 * 10)
    tried = []

    def score(sequences):
        tried.append(len(sequences))
        return np.ones(len(sequences))

    assert len(replace_spans(score, spiked.analysis, usual, [1, 0])) == 10
    assert len(replace_features(score, spiked.analysis, usual)) == 2
    assert tried == [20, 8]

"""p-values against arithmetic by hand, by NumPy and by the rate of false alarms at every length."""

import math
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padless.model import (
    Architecture,
    Calibration,
    Inference,
    TrainingOptions,
    load_model,
    open_run,
    train,
)
from padless.model.reporting.length_bias import rank_correlation
from padless.model.run_directory.layout import discard_model
from padless.model.scoring import calibration as module
from padless.model.scoring.calibration import (
    count_neighbours,
    find_nearest,
    fit_trend,
    is_finished,
    load_calibration,
    save_calibration,
)

LEVEL = 0.05


def calibrate(pairs, split="validation"):
    length, score = zip(*pairs, strict=True)
    return Calibration(split, np.array(length), np.array(score, np.float64))


def p_value(calibration, length, score):
    return calibration.p_values(np.array([length]), np.array([score], np.float64))[0]


@pytest.fixture
def few(monkeypatch):
    """Lets a sequence be compared with two others, ties not counted."""
    monkeypatch.setattr(module, "count_neighbours", lambda size: min(size, 2))


@pytest.mark.parametrize(
    ("length", "score", "expected"),
    [
        (1, 0.0, 3 / 3),  # lengths 1 and 2
        (1, 2.0, 2 / 3),
        (1, 5.0, 1 / 3),
        (9, 5.0, 3 / 3),  # lengths 9 and 4, ties at no edge
        (9, 6.0, 2 / 3),
        (3, 2.0, 3 / 3),  # lengths 2 and 4, both one away
        (3, 5.0, 2 / 3),
        (3, 5.1, 1 / 3),
        (100, np.inf, 1 / 3),
        (100, 0.0, 3 / 3),
    ],
)
def test_p_values_are_those_by_hand(few, length, score, expected):
    calibration = calibrate([(9, 9.0), (1, 1.0), (4, 5.0), (2, 2.0)])
    assert p_value(calibration, length, score) == expected


def test_p_values_take_all_ties_at_the_edge(few):
    calibration = calibrate([(3, 1.0), (5, 2.0), (5, 3.0), (7, 4.0), (7, 5.0), (9, 0.0)])
    # One is nearer than length 5 and 7, but of those there are four, all at the same distance.
    assert p_value(calibration, 6, 3.0) == (1 + 3) / (1 + 4)
    assert p_value(calibration, 5, 2.5) == (1 + 1) / (1 + 2)
    assert p_value(calibration, 4, 1.5) == (1 + 2) / (1 + 3)


def test_equal_scores_count_as_high():
    assert p_value(calibrate([(3, 1.0)] * 4), 3, 1.0) == 1
    assert p_value(calibrate([(3, 1.0)] * 4), 3, 1.000001) == 1
    assert p_value(calibrate([(3, 1.0)] * 4), 3, 1.0001) == 1 / 5


def test_p_value_of_nan_is_nan_and_spares_the_others():
    p = calibrate([(3, 1.0), (4, 2.0)]).p_values(np.array([3, 3, 4]), np.array([np.nan, 1.5, 3]))
    np.testing.assert_array_equal(p, [np.nan, 2 / 3, 1 / 3])


def test_p_values_of_no_sequences_are_none():
    p = calibrate([(3, 1.0)]).p_values(np.zeros(0, np.int64), np.zeros(0, np.float32))
    assert p.shape == (0,)


def test_calibration_sorts_by_length_then_score():
    calibration = calibrate([(4, 1.0), (3, 2.0), (3, 1.0)])
    assert calibration.length.tolist() == [3, 3, 4]
    assert calibration.score.tolist() == [1.0, 2.0, 1.0]
    assert (calibration.length.dtype, calibration.score.dtype) == (np.int64, np.float64)


@pytest.mark.parametrize(
    ("length", "score", "message"),
    [
        (np.zeros(0, np.int64), np.zeros(0), "`length` must hold at least one sequence"),
        (np.array([1, 2]), np.zeros(1), r"one value per sequence, got the shapes \(2,\) and \(1,"),
        (np.ones((1, 1), np.int64), np.zeros((1, 1)), r"one value per sequence, .*\(1, 1\)"),
        (np.array([1.0]), np.zeros(1), "`length` must hold integers .*got float64 and float64"),
        (np.array([1]), np.array(["a"]), "`score` floating-point numbers, got int64 and <U1"),
        (np.array([1, 2]), np.array([1, np.nan]), "`score` must not be NaN, got 1 that are"),
        (np.array([1, 2]), np.array([1, -0.5]), "`score` must not be negative, got -0.5"),
    ],
    ids=["empty", "sizes", "matrix", "float lengths", "text", "nan", "negative"],
)
def test_calibration_rejects(length, score, message):
    with pytest.raises(ValueError, match=message):
        Calibration("validation", length, score)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, 1), (99, 99), (400, 100), (401, 100), (625, 125), (160_000, 2000), (10**7, 2000)],
)
def test_count_neighbours(size, expected):
    assert count_neighbours(size) == expected


LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=40)


@given(lengths=LENGTHS, wanted=LENGTHS, data=st.data())
def test_find_nearest_is_the_search_through_all(lengths, wanted, data):
    lengths = np.sort(lengths)
    count = data.draw(st.integers(1, len(lengths)))
    starts, stops = find_nearest(lengths, np.array(wanted), count)
    for value, start, stop in zip(wanted, starts, stops, strict=True):
        distance = np.abs(lengths - value)
        expected = np.flatnonzero(distance <= np.sort(distance)[count - 1])
        assert np.arange(start, stop).tolist() == expected.tolist()


PAIRS = st.lists(st.tuples(st.integers(1, 9), st.floats(0, 9, width=32)), min_size=1, max_size=300)


@given(
    pairs=PAIRS, length=st.integers(1, 9), scores=st.lists(st.floats(min_value=0, allow_nan=False))
)
def test_p_values_are_above_0_at_most_1_and_never_rise_with_the_score(pairs, length, scores):
    scores = np.sort(np.array([*scores, *(score for _, score in pairs)]))
    p = calibrate(pairs).p_values(np.full(len(scores), length), scores)
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) <= 0).all()


def test_p_values_do_not_depend_on_batches_and_cached_windows(monkeypatch):
    rng = np.random.default_rng(0)
    length, score = rng.integers(1, 40, 900), rng.random(900)
    calibration = Calibration("validation", length[:600], score[:600])
    expected = calibration.p_values(length, score)
    monkeypatch.setattr(module, "_CACHED_WINDOWS", 2)
    parts = zip(np.array_split(length, 70), np.array_split(score, 70), strict=True)
    again = Calibration("validation", length[:600], score[:600])
    np.testing.assert_array_equal(np.concatenate([again.p_values(*p) for p in parts]), expected)
    assert len(again._windows) <= 2


def test_a_level_may_be_as_small_as_a_p_value_gets():
    for length in (np.full(184, 7), np.arange(184), np.repeat([5, 9], [150, 34])):
        calibration = Calibration("validation", length, np.arange(184.0))
        least = calibration.p_values(length, np.full(184, 1e9)).min()
        module.check_level(least, length)
        with pytest.raises(ValueError, match=r"A larger validation split allows a smaller one"):
            module.check_level(np.nextafter(least, 0), length)
    with pytest.raises(ValueError, match=r"to 1, got 5\.$"):
        module.check_level(5, length)


def test_cached_windows_stay_few_where_threads_have_added_too_many(monkeypatch):
    monkeypatch.setattr(module, "_CACHED_WINDOWS", 2)
    length = np.repeat(np.arange(1, 31), 40)
    calibration = Calibration("validation", length, np.arange(1200.0))
    calibration._windows.update({(0, stop): (np.zeros(stop), 0.0) for stop in (1, 2, 3)})
    calibration.p_values(np.array([20]), np.array([5.0]))
    assert len(calibration._windows) == 1


def test_p_values_do_not_depend_on_a_length_that_scores_follow_exactly():
    # Every sequence of the trend is as usual as another; beyond its ends it is not followed.
    length = np.repeat(np.arange(20, 53), 3)
    calibration = Calibration("validation", length, np.exp(0.1 * length) * np.tile([1, 2, 3], 33))
    wanted = np.array([10, 20, 40, 52, 100])
    p = calibration.p_values(wanted, 2.5 * np.exp(0.1 * wanted))
    np.testing.assert_allclose(p, [1, 34 / 100, 34 / 100, 34 / 100, 1 / 100])


def test_p_values_of_few_sequences_follow_no_trend():
    length = np.arange(1, module.FEWEST_FOR_TREND)
    calibration = Calibration("validation", length, np.exp(length))
    assert p_value(calibration, 1, np.exp(1.5)) == (1 + len(length) - 1) / (1 + len(length))


def test_p_values_carry_no_trend_beyond_the_neighbours():
    # Of scores without a trend a slope is found all the same, which is nothing but luck.
    alarms = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        length = np.where(rng.random(300) < 0.5, rng.integers(10, 31, 300), 170)
        calibration = Calibration("validation", length, rng.lognormal(0, 0.5, 300))
        for wanted in (5, 60, 400):
            p = calibration.p_values(np.full(500, wanted), rng.lognormal(0, 0.5, 500))
            alarms.append((p < LEVEL).mean())
    assert np.mean(alarms) < 0.06
    assert np.max(alarms) < 0.25


def test_fit_trend_is_that_of_numpy_and_leaves_out_what_is_infinite():
    rng = np.random.default_rng(0)
    length, logarithm = rng.integers(1, 90, 50), rng.normal(size=50)
    expected = np.polynomial.Polynomial.fit(length, logarithm, 1).convert().coef[1]
    assert fit_trend(length, logarithm) == pytest.approx(expected)
    more = np.append(length, [3, 4]), np.append(logarithm, [np.inf, -np.inf])
    assert fit_trend(*more) == pytest.approx(expected)
    assert fit_trend(np.full(50, 7), logarithm) == 0


# False alarms: of normal sequences, a share of LEVEL at every length.


def draw_scores(rng, size=4000):
    """Draws scores whose level grows sevenfold, and their scatter threefold, with the length."""
    length = rng.integers(10, 201, size)
    return length, np.exp(length / 100) * rng.lognormal(0, 0.2 + length / 400)


def binomial_interval(size, share, level=0.99):
    """Gives the fewest and most of `size` that chance explains, by summing the binomial."""
    chances = [
        math.exp(
            math.lgamma(size + 1)
            - math.lgamma(k + 1)
            - math.lgamma(size - k + 1)
            + k * math.log(share)
            + (size - k) * math.log1p(-share)
        )
        for k in range(size + 1)
    ]
    below = np.cumsum(chances)
    return np.searchsorted(below, [(1 - level) / 2, (1 + level) / 2])


def count_by_quarter(length, alarm):
    quarters = np.array_split(np.argsort(length, kind="stable"), 4)
    return np.array([alarm[rows].sum() for rows in quarters])


def assert_fair(calibration, length, score):
    """Checks the false alarms by quarter of lengths: fair by p-value, unfair by the raw score."""
    fewest, most = binomial_interval(len(length) // 4, LEVEL)
    by_p_value = count_by_quarter(length, calibration.p_values(length, score) < LEVEL)
    assert ((by_p_value >= fewest) & (by_p_value <= most)).all(), by_p_value
    by_score = count_by_quarter(length, score > np.quantile(calibration.score, 1 - LEVEL))
    assert by_score.min() < fewest, by_score
    assert by_score.max() > most, by_score


def test_binomial_interval_is_that_of_the_tables():
    # R: qbinom(c(0.005, 0.995), 20, 0.5); qbinom(c(0.005, 0.995), 100, 0.05).
    assert binomial_interval(20, 0.5).tolist() == [4, 16]
    assert binomial_interval(100, 0.05).tolist() == [0, 11]


def test_false_alarms_are_as_many_at_every_length():
    # The calibration is drawn too, so that one seed in five leaves an interval in some quarter;
    # the next tests have no seed to choose.
    rng = np.random.default_rng(1)
    assert_fair(Calibration("validation", *draw_scores(rng)), *draw_scores(rng))


def draw_proportional_scores(rng, size=4000):
    """Draws scores in proportion to the length: twentyfold, and steepest where it is short."""
    length = rng.integers(10, 201, size)
    return length, length * rng.lognormal(0, 0.2 + length / 400)


@pytest.mark.parametrize("draw", [draw_scores, draw_proportional_scores])
def test_false_alarms_are_near_the_level_on_average_over_calibrations(draw):
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        calibration, (length, score) = Calibration("validation", *draw(rng)), draw(rng)
        shares.append(count_by_quarter(length, calibration.p_values(length, score) < LEVEL) / 1000)
    mean = np.mean(shares, axis=0)
    assert ((mean > 0.045) & (mean < 0.053)).all(), mean


def draw_noisy_waves(rng, size):
    """Draws waves of 5 to 40 timesteps with the more noise the longer they are."""
    lengths = rng.integers(5, 41, size)
    waves = [np.sin(np.arange(n)[:, None] / 2 + rng.uniform(0, 6, 2)) for n in lengths]
    return [np.float32(w + rng.normal(0, 0.3 * np.exp(len(w) / 40), w.shape)) for w in waves]


def test_false_alarms_of_a_trained_model_are_as_many_at_every_length(store_sequences, tmp_path):
    # As above, one seed in four leaves an interval by the luck of the calibration.
    rng = np.random.default_rng(0)
    sizes = {"train": 300, "validation": 1000, "test": 1000}
    dataset = store_sequences({split: draw_noisy_waves(rng, n) for split, n in sizes.items()})
    report = train(
        dataset.split("train").files[0].parent,
        tmp_path / "run",
        architecture=Architecture(latent_size=4, units=8),
        options=TrainingOptions(epochs=4, batch_size=16, learning_rate=0.01),
    )
    calibration = open_run(tmp_path / "run").calibration
    assert report.calibration_split == calibration.split == "validation"
    assert len(calibration.length) == 1000
    windows = list(Inference(load_model(tmp_path / "run")).windows(dataset, "test"))
    length, score = (np.concatenate([w[name] for w in windows]) for name in ("length", "score"))
    assert_fair(calibration, length, score)
    p = calibration.p_values(length, score)
    assert abs(rank_correlation(length, score)) > 0.2
    assert abs(rank_correlation(length, p)) < 0.1


# The file in the run directory.


def test_train_calibrates_on_validation_with_the_model_that_it_saves(finished, validated_dataset):
    run, report = finished
    calibration = open_run(run).calibration
    assert (report.calibration_split, calibration.split) == ("validation", "validation")
    assert calibration.is_held_out
    (window,) = Inference(load_model(run)).windows(validated_dataset, "validation")
    order = np.argsort(window["length"])
    assert calibration.length.tolist() == window["length"][order].tolist() == [3, 5, 6, 7]
    np.testing.assert_allclose(calibration.score, window["score"][order], rtol=1e-5)
    assert "`padless score` compare with the split 'validation'; the smallest is 0.2\n" in str(
        report
    )


def test_train_says_where_it_calibrates_on_what_it_was_trained_on(without_validation):
    run, report = without_validation
    assert not open_run(run).calibration.is_held_out
    (line,) = (line for line in str(report).splitlines() if line.startswith("p-values"))
    assert line.endswith("'train'; the smallest is 0.091. The model was trained on it: on new data "
                         "they are too small; a split 'validation' mends that")  # fmt: skip


def test_train_makes_the_calibration_of_a_finished_run_that_has_none(
    train_small, unvalidated_dataset, without_validation, tmp_path
):
    run = shutil.copytree(without_validation[0], tmp_path / "run")
    before = open_run(run).calibration
    (run / "calibration.npz").unlink()
    train_small(unvalidated_dataset, run=run, resume=True)
    np.testing.assert_array_equal(open_run(run).calibration.score, before.score)


def test_discard_model_discards_the_calibration(run):
    discard_model(run)
    assert [path.name for path in run.iterdir()] == ["config.json"]


@pytest.fixture
def run(finished, tmp_path):
    """A run directory with the configuration, a calibration and what stands for its model."""
    (tmp_path / "config.json").write_bytes((finished[0] / "config.json").read_bytes())
    (tmp_path / "model.keras").write_bytes(b"model")
    save_calibration(calibrate([(3, 1.0), (4, np.inf)]), tmp_path)
    return tmp_path


def test_load_calibration_gives_back_what_was_saved(run):
    calibration = open_run(run).calibration
    assert calibration.split == "validation"
    assert calibration.length.tolist() == [3, 4]
    assert calibration.score.tolist() == [1.0, np.inf]
    names = {"config.json", "calibration.npz", "model.keras"}
    assert {path.name for path in run.iterdir()} == names


def test_save_calibration_leaves_the_one_before_where_it_fails(run, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        save_calibration(calibrate([(3, 2.0)]), run)
    assert open_run(run).calibration.score.tolist() == [1.0, np.inf]


def test_load_calibration_rejects_what_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config.json is missing"):
        open_run(tmp_path)


def test_load_calibration_says_what_to_do_where_there_is_none(run):
    (run / "calibration.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"calibration.npz is missing: .* --resume"):
        load_calibration(run)


def edit_archive(path, **arrays):
    np.savez(path, **dict(np.load(path)) | arrays)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda run: edit_archive(run / "calibration.npz", score=np.array([1e3, 2e3])), "edited"),
        (lambda run: edit_archive(run / "calibration.npz", length=np.array([3, 5])), "edited"),
        (lambda run: edit_archive(run / "calibration.npz", split="test"), "edited"),
        (lambda run: edit_archive(run / "calibration.npz", model="0"), "edited"),
        (lambda run: (run / "model.keras").write_bytes(b"other"), "model.keras.*another model"),
    ],
)
def test_load_calibration_rejects_what_does_not_belong_together(run, edit, message):
    edit(run)
    assert not is_finished(run)
    with pytest.raises(ValueError, match=rf"calibration\.npz must hold.*{message}.*--resume"):
        load_calibration(run)


def test_a_run_is_finished_with_a_model_and_its_calibration(run):
    assert is_finished(run)
    (run / "model.keras").unlink()
    assert not is_finished(run)


def write_array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def write_archive(path, **arrays):
    good = {"split": "validation", "length": np.array([1]), "score": np.array([1.0])} | arrays
    np.savez(path, **{name: array for name, array in good.items() if array is not None})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "No data left in file"),
        (lambda path: path.write_bytes(b"text"), "pickled"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "zip"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"\xf0\x3f", b"\xf0\x40")), "CRC"),
        (write_array, "context manager|__enter__"),
        (lambda path: write_archive(path, score=None), "score"),
        (lambda path: write_archive(path, score=np.array([{}])), "Object arrays|pickle"),
        (lambda path: write_archive(path, score=np.zeros(2)), r"the shapes \(1,\) and \(2,\)"),
        (lambda path: write_archive(path, score=np.array([np.nan])), "must not be NaN"),
        (lambda path: write_archive(path, length=np.zeros(0, int), score=np.zeros(0)), "got none"),
    ],
    ids=[
        *("empty", "text", "truncated", "flipped", "array", "part missing"),
        *("pickled", "sizes", "nan", "none"),
    ],
)
def test_load_calibration_rejects_a_damaged_file(run, damage, message):
    path = run / "calibration.npz"
    damage(path)
    with pytest.raises(ValueError, match=f"{path} must hold a calibration .*({message})"):
        load_calibration(run)


# Spearman's correlation.


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3], [3.0, 2.0, 1.0], -1),
        ([1, 2, 2, 3], [1.0, 2.0, 2.0, 3.0], 1),
        # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: by Pearson's formula 4.5 / sqrt(4.5 * 5).
        ([1, 2, 2, 3], [1.0, 2.0, 3.0, 4.0], math.sqrt(0.9)),
        ([5, 5], [1.0, 2.0], math.nan),
        ([1, 2], [1.0, math.nan], math.nan),
    ],
)
def test_rank_correlation(one, other, expected):
    received = rank_correlation(np.array(one), np.array(other))
    assert received == pytest.approx(expected, nan_ok=True)

"""p-values of recordings that were scored in pieces."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.model import Calibration, Inference
from padless.model.scoring.calibration import load_calibration, save_calibration
from padless.model.scoring.inference import EVERYTHING_AND_TIMESTEPS
from padless.model.scoring.recordings import (
    FEWEST_RECORDINGS,
    RecordingScores,
    are_compared,
    recording_p_values,
    smallest_recording_p_values,
)
from padless.model.scoring.scores_file import write_parquet

LENGTH = 8


def piece_keys(name, count):
    return [f"{name}[{LENGTH * i}:{LENGTH * (i + 1)}]".encode() for i in range(count)]


def calibrate(rng, count, draw_pieces=lambda rng: rng.integers(2, 30)):
    """Calibrates on pieces whose scores depend on each other within a recording."""
    recordings, numbers, scores = RecordingScores(), [], []
    for name in range(count):
        scores.append(draw_recording(rng, draw_pieces(rng)))
        count = len(scores[-1])
        numbers.append(recordings.number(piece_keys(name, count), [LENGTH] * count))
    score = np.concatenate(scores)
    found = recordings.calibrate("validation", np.concatenate(numbers), score)
    return Calibration("validation", np.full(len(score), LENGTH), score, found)


def draw_recording(rng, pieces):
    return np.exp(rng.normal(scale=0.7) + rng.normal(size=pieces))


def p_values_of(calibration, recordings):
    pieces = np.array([len(scores) for scores in recordings])
    highest = np.array([scores.max() for scores in recordings])
    smallest = calibration.p_values(np.full(len(pieces), LENGTH), highest)
    return recording_p_values(calibration, pieces, highest, smallest)


def test_the_highest_score_of_each_recording_is_kept_and_whole_sequences_are_not():
    recordings = RecordingScores()
    first = recordings.number([b"a[0:8]", b"whole", b"b[0:8]"], [8] * 3)
    # The last one has not the timesteps that its key says: it is no piece.
    second = recordings.number([b"b[8:16]", b"a[8:16]", b"a[16:24]"], [8, 8, 5])
    score = np.array([1.0, 99.0, 5.0, 3.0, 2.0, 98.0])
    found = recordings.calibrate("validation", np.concatenate((first, second)), score)
    assert found.length.tolist() == [2, 2]
    assert found.score.tolist() == [2.0, 5.0]
    assert RecordingScores().calibrate("validation", np.full(1, -1), score[:1]) is None


@pytest.mark.parametrize("count", [19, 40, 80])
def test_false_alarms_are_as_many_as_the_level_says(count):
    rng = np.random.default_rng(0)
    p = [
        p_values_of(calibrate(rng, count), [draw_recording(rng, rng.integers(2, 30))])
        for _ in range(1500)
    ]
    for level in (0.05, 0.1, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=3 * (level / 1500) ** 0.5)


def test_more_is_found_than_by_the_smallest_p_value_of_pieces_that_depend_on_each_other():
    rng = np.random.default_rng(0)
    calibration = calibrate(rng, 60, lambda rng: 20)
    by_pieces = Calibration("validation", calibration.length, calibration.score)
    unusual = [4 * draw_recording(rng, 20) for _ in range(300)]
    found = [np.mean(p_values_of(one, unusual) <= 0.1) for one in (calibration, by_pieces)]
    assert found[0] > found[1] + 0.02
    extreme = [1e3 * draw_recording(rng, 20)]
    assert p_values_of(calibration, extreme) == pytest.approx(1 / 61)


@pytest.mark.parametrize(
    ("count", "pieces", "compared"),
    [
        (FEWEST_RECORDINGS, [1, 2, 9, 10], [False, True, True, False]),
        (FEWEST_RECORDINGS - 1, [1, 2, 9, 10], [False] * 4),
    ],
)
def test_what_is_not_like_the_held_out_recordings_is_added_up(count, pieces, compared):
    calibration, pieces = calibrate(np.random.default_rng(0), count, lambda _: 9), np.array(pieces)
    assert are_compared(calibration, pieces).tolist() == compared
    least = smallest_recording_p_values(calibration, pieces)
    of_pieces = 1 / (1 + 9 * count)
    expected = np.where(compared, 1 / (1 + count), np.minimum(pieces * of_pieces, 1))
    np.testing.assert_allclose(least, expected)
    highest = np.full(len(pieces), 1e9)
    found = recording_p_values(calibration, pieces, highest, np.full(len(pieces), of_pieces))
    np.testing.assert_allclose(found, expected)


def test_a_recording_that_cannot_be_scored_has_no_p_value():
    calibration = calibrate(np.random.default_rng(0), 20)
    one = np.array([np.nan])
    assert np.isnan(recording_p_values(calibration, np.array([3]), one, one))


@pytest.mark.parametrize("count", [0, 30])
def test_what_recordings_are_compared_with_is_stored(tmp_path, count):
    (tmp_path / "config.json").write_text(json.dumps({}))
    (tmp_path / "model.keras").write_bytes(b"model")
    calibration = Calibration("validation", np.array([3, 4]), np.array([1.0, 2.0]))
    if count:
        calibration = calibrate(np.random.default_rng(0), count)
    save_calibration(calibration, tmp_path)
    loaded = load_calibration(tmp_path).recordings
    if not count:
        assert loaded is None
        return
    np.testing.assert_array_equal(loaded.length, calibration.recordings.length)
    np.testing.assert_array_equal(loaded.score, calibration.recordings.score)
    path = tmp_path / "calibration.npz"
    np.savez(path, **dict(np.load(path)) | {"highest": loaded.score + 1})
    with pytest.raises(ValueError, match="edited"):
        load_calibration(tmp_path)


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (40, "p-values of 1 recording compare with 40 recordings of the split 'validation'; the "),
        (5, "times the number of these, at least 0.028: a comparison with recordings needs 19 in "),
    ],
)
def test_what_p_values_compare_with_is_told(
    make_model, store_sequences, tmp_path, caplog, count, told
):
    caplog.set_level("INFO")
    calibration = calibrate(np.random.default_rng(0), count, lambda _: 21)
    values = np.random.default_rng(0).normal(size=(3, LENGTH, 2)).astype(np.float32)
    keys = piece_keys("a", 3)
    dataset = store_sequences({"test": values}, name_key=lambda _, number: keys[number].decode())
    inference, output = Inference(make_model(), EVERYTHING_AND_TIMESTEPS), tmp_path / "s.parquet"
    write_parquet(inference, dataset, output, calibration=calibration, merge=True)
    assert told in caplog.text
    (row,) = pq.read_table(output).to_pylist()
    least = smallest_recording_p_values(calibration, np.array([3]))
    assert least[0] <= row["p_value"] <= 1

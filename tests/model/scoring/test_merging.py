"""Rows of pieces brought back to their sequences, against means computed one timestep at a time."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from padless.model import Calibration, Inference
from padless.model.scoring.inference import EVERYTHING, SCORED_AND_TIMESTEPS, TIMESTEPS
from padless.model.scoring.merging import merge_pieces
from padless.model.scoring.scores_file import write_parquet
from padless.pipeline.dataset.keys import piece_spans
from padless.pipeline.dataset.names import SCORE_PARTS

RNG = np.random.default_rng(0)


def window_of(rows):
    """Builds a window of `{key: (score, p_value, errors)}`."""
    errors = np.empty(len(rows), object)
    errors[:] = [row[2] for row in rows.values()]
    return {
        "key": np.array(list(rows), object),
        "label": np.array([b"x"] * len(rows), object),
        "length": np.array([len(row[2]) for row in rows.values()]),
        "score": np.array([row[0] for row in rows.values()], np.float32),
        "p_value": np.array([row[1] for row in rows.values()], np.float32),
        "embedding": np.array([[row[0], 2 * row[0]] for row in rows.values()], np.float32),
        "unexplained": np.array([row[0] / 2 for row in rows.values()], np.float32),
        TIMESTEPS: errors,
    }


def draw_rows(name, length, longest, stride):
    rows = {}
    for start, stop in piece_spans(length, longest, stride):
        errors = RNG.random((stop - start, 2)).astype(np.float32)
        rows[b"%s[%d:%d]" % (name, start, stop)] = (RNG.random(), RNG.random(), errors)
    return rows


@pytest.mark.parametrize(("length", "longest", "stride"), [(10, 4, None), (10, 4, 3), (9, 4, 1)])
def test_timesteps_have_the_means_of_the_pieces_that_hold_them(length, longest, stride):
    rows = draw_rows(b"a", length, longest, stride)
    merged = merge_pieces([window_of(rows)])
    assert {len(values) for values in merged.values()} == {1}
    row = {name: values[0] for name, values in merged.items()}
    spans = list(piece_spans(length, longest, stride))
    pieces = list(zip(spans, rows.values(), strict=True))
    for t in range(length):
        held = [(span, piece) for span, piece in pieces if span[0] <= t < span[1]]
        errors = [errors[t - start] for (start, _), (_, _, errors) in held]
        np.testing.assert_allclose(row[TIMESTEPS][t], np.mean(errors, 0), rtol=1e-6)
        scores = [score for _, (score, _, _) in held]
        np.testing.assert_allclose(row["timestep_score"][t], np.mean(scores), rtol=1e-6)
    assert (row["key"], row["label"], row["length"]) == (b"a", b"x", length)
    assert row["pieces"] == len(spans)
    np.testing.assert_allclose(row["error"], row[TIMESTEPS].mean(), rtol=1e-6)
    np.testing.assert_allclose(row["feature_error"], row[TIMESTEPS].mean(0), rtol=1e-6)
    scores, p_values, _ = zip(*rows.values(), strict=True)
    assert row["worst_piece"] == list(rows)[int(np.argmax(scores))]
    np.testing.assert_allclose(row["score"], max(scores), rtol=1e-6)
    np.testing.assert_allclose(row["p_value"], min(p_values), rtol=1e-6)
    np.testing.assert_allclose(row["embedding"], np.mean(scores) * np.array([1, 2]), rtol=1e-6)


def test_pieces_may_come_in_any_order_and_window():
    rows = draw_rows(b"a", 9, 3, 2) | draw_rows(b"b", 5, 3, 2) | {b"c": (0.1, 0.5, np.ones((2, 2)))}
    expected = merge_pieces([window_of(rows)])
    assert expected["key"].tolist() == [b"a", b"b", b"c"]
    shuffled = [list(rows)[i] for i in RNG.permutation(len(rows))]
    halves = [window_of({key: rows[key] for key in keys}) for keys in (shuffled[:4], shuffled[4:])]
    received = merge_pieces(halves)
    order = np.argsort(received["key"])
    for name, values in expected.items():
        for value, other in zip(values, received[name][order], strict=True):
            if isinstance(value, bytes):
                assert value == other
            else:
                np.testing.assert_allclose(value, other, rtol=1e-5)


def test_what_no_piece_holds_is_nan_and_no_mean_counts_it():
    rows = {
        b"a[0:2]": (1.0, 0.2, np.ones((2, 2), np.float32)),
        b"a[4:6]": (3.0, 0.1, np.array([[3, np.nan], [3, 3]], np.float32)),
    }
    merged = merge_pieces([window_of(rows)])
    expected = [[1, 1], [1, 1], [np.nan] * 2, [np.nan] * 2, [3, np.nan], [3, 3]]
    np.testing.assert_array_equal(merged[TIMESTEPS][0], expected)
    np.testing.assert_array_equal(merged["timestep_score"][0], [1, 1, np.nan, np.nan, 3, 3])
    np.testing.assert_allclose(merged["feature_error"][0], [2, 5 / 3], rtol=1e-6)
    np.testing.assert_allclose(merged["error"][0], 13 / 7, rtol=1e-6)


def test_a_piece_whose_score_is_not_finite_is_the_worst():
    rows = {
        b"a[0:1]": (9.0, 0.2, np.ones((1, 2), np.float32)),
        b"a[1:2]": (np.nan, np.nan, np.ones((1, 2), np.float32)),
    }
    merged = merge_pieces([window_of(rows)])
    assert merged["worst_piece"][0] == b"a[1:2]"
    assert np.isnan([merged["score"][0], merged["p_value"][0]]).all()


def test_a_key_that_looks_like_one_of_a_piece_by_chance_stays_a_sequence():
    rows = {b"shelf[0:2]": (1, 0.5, np.ones((3, 2), np.float32))}
    rows[b"shelf[2:4]"] = (2, 0.1, np.ones((1, 2), np.float32))
    merged = merge_pieces([window_of(rows)])
    assert merged["key"].tolist() == list(rows)
    assert (merged["length"].tolist(), merged["pieces"].tolist()) == ([3, 1], [1, 1])


def test_nothing_is_merged_of_nothing():
    assert merge_pieces([]) == {}


def test_sequences_that_were_not_cut_keep_their_values(make_model, make_dataset, tmp_path):
    dataset, output = make_dataset({"train": [3, 7, 1, 3], "test": [2, 9]}), tmp_path / "s.parquet"
    inference = Inference(make_model(), SCORED_AND_TIMESTEPS)
    calibration = Calibration("test", np.full(99, 5), np.linspace(0, 9, 99))
    options = {"calibration": calibration, "level": 0.2}
    assert write_parquet(inference, dataset, output, **options) == 6
    plain = pq.read_table(output).to_pydict()
    assert write_parquet(inference, dataset, output, merge=True, **options) == 6
    merged = pq.read_table(output).to_pydict()
    assert merged.keys() - plain.keys() == {"pieces", "worst_piece", "timestep_score"}
    same = ("key", "split", "length", "embedding", "score", "p_value", "is_anomaly")
    for name in (*same, *SCORE_PARTS):
        assert merged[name] == plain[name]
    for name in ("error", "feature_error", "unexplained"):
        np.testing.assert_allclose(merged[name], plain[name], rtol=1e-5)
    assert merged["worst_piece"] == merged["key"]
    assert [len(scores) for scores in merged["timestep_score"]] == merged["length"]


def test_the_parts_of_a_merged_score_are_those_of_the_worst_piece(
    make_model, store_sequences, tmp_path
):
    pieces = RNG.normal(size=(5, 4, 2)).astype(np.float32)
    dataset = store_sequences(
        {"test": pieces}, name_key=lambda _, number: f"a[{4 * number}:{4 * number + 4}]"
    )
    inference, output = Inference(make_model(), SCORED_AND_TIMESTEPS), tmp_path / "s.parquet"
    write_parquet(inference, dataset, output)
    rows = {row["key"]: row for row in pq.read_table(output).to_pylist()}
    write_parquet(inference, dataset, output, merge=True)
    (merged,) = pq.read_table(output).to_pylist()
    worst = rows[merged["worst_piece"]]
    assert worst["score"] == max(row["score"] for row in rows.values())
    assert [merged[name] for name in SCORE_PARTS] == [worst[name] for name in SCORE_PARTS]


@pytest.mark.parametrize(("level", "is_told"), [(0.2, False), (0.03, True)])
def test_a_level_that_so_many_pieces_never_reach_is_told(
    make_model, store_sequences, tmp_path, caplog, level, is_told
):
    pieces = RNG.normal(size=(10, 4, 2)).astype(np.float32)
    dataset = store_sequences(
        {"test": pieces}, name_key=lambda _, number: f"a[{4 * number}:{4 * number + 4}]"
    )
    inference = Inference(make_model(), (*EVERYTHING, TIMESTEPS))
    calibration = Calibration("test", np.full(99, 4), np.linspace(0, 9, 99))
    output = tmp_path / "s.parquet"
    options = {"calibration": calibration, "level": level, "merge": True}
    assert write_parquet(inference, dataset, output, **options) == 1
    # 10 times the 1/100 that one of 99 gives is more than 0.03.
    told = "1 of 1 sequences cannot be an anomaly at the level 0.03"
    assert (told in caplog.text) == is_told
    assert ("their p-values are at least 0.1" in caplog.text) == is_told
    assert ("recordings to compare with: 33 that were cut allow it" in caplog.text) == is_told

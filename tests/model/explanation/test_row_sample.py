"""Rows that are kept: as many as asked for, the same each time, the most anomalous among them."""

import numpy as np
import pytest

from padless.model.explanation.row_sample import RowSample, order_by_anomaly


def rows_of(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "number": np.arange(count),
        "p_value": rng.uniform(size=count).round(2),
        "score": rng.uniform(size=count),
    }


def add_in_parts(sample, rows, size):
    for start in range(0, len(rows["score"]), size):
        sample.add({name: column[start : start + size] for name, column in rows.items()})
    return sample


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_windows_of_any_size_give_the_same_rows(size):
    rows = rows_of(300)
    found = add_in_parts(RowSample(20, most_anomalous=5), rows, size)
    expected = add_in_parts(RowSample(20, most_anomalous=5), rows, 300).rows
    assert found.num_seen == 300
    for name, column in found.rows.items():
        np.testing.assert_array_equal(column, expected[name])


def test_the_most_anomalous_rows_are_always_among_them():
    rows = rows_of(500)
    found = add_in_parts(RowSample(10, most_anomalous=5), rows, 50).rows
    worst = order_by_anomaly(rows["p_value"], rows["score"])[:5]
    assert set(worst) <= set(found["number"])
    assert 10 <= len(found["number"]) <= 15
    assert list(found["number"]) == sorted(found["number"])


def test_every_row_has_the_same_chance():
    counts = np.zeros(50)
    for seed in range(400):
        found = add_in_parts(RowSample(10, seed=seed), rows_of(50), 11)
        counts[found.rows["number"]] += 1
    # 400 draws of 10 of 50: 80 each, with a deviation of 8.
    assert 45 < counts.min() <= counts.max() < 115


def test_a_sample_of_fewer_rows_is_a_part_of_one_of_more():
    rows = rows_of(200)
    few, many = (set(add_in_parts(RowSample(n), rows, 30).rows["number"]) for n in (10, 40))
    assert few < many


def test_fewer_rows_than_asked_for_are_all_kept():
    assert list(add_in_parts(RowSample(10), rows_of(4), 3).rows["number"]) == [0, 1, 2, 3]


def test_p_values_below_the_smallest_count_as_equal():
    p_value, score = np.array([0.004, 0.006, 0.5, 0.2]), np.array([1.0, 7.0, 9.0, 3.0])
    assert order_by_anomaly(p_value, score).tolist() == [0, 1, 3, 2]
    assert order_by_anomaly(p_value, score, 0.01).tolist() == [1, 0, 3, 2]

"""One small run on a dataset whose names are hostile, and its report."""

import json
import types

import numpy as np
import pytest

from padless.model import report_run

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "{{7*7}}",
    '<a href="javascript:alert(3)">x</a>',
    "<!--<script>",
    "a\u2028b\u202ec",
    "$\\frac{1}{2}$ & &amp; %{x}",
    "@text",
    "=cmd()\t'\"",
)
LABELS = ("normal <b>bold</b>", "</script><script>alert(4)</script>")
FEATURES = ("<img src=y onerror=alert(5)>", '<a href="javascript:alert(6)">y</a>')
REASON = "<script>alert(7)</script>"
COUNTS = {"train": 40, "validation": 24, "test": 30}


def draw_sequence(number, is_normal, rng):
    length = 5 + number % 9
    wave = np.sin(np.arange(length)[:, None] / 2 + rng.uniform(0, 1, 2)) * [1, 10]
    wave += rng.normal(0, 0.1, wave.shape) * [1, 10]
    if not is_normal:
        wave[length // 2] += 4 * np.array([1, 10])
    return wave.astype(np.float32)


def name_key(split, number):
    return f"{HOSTILE[number % len(HOSTILE)]} {split} {number}"


@pytest.fixture(scope="session")
def names():
    """The names of the data."""
    return types.SimpleNamespace(
        keys=[name_key(split, i) for split, count in COUNTS.items() for i in range(count)],
        labels=LABELS,
        features=FEATURES,
        reason=REASON,
        counts=COUNTS,
    )


@pytest.fixture(scope="session")
def hostile_dataset(store_sequences):
    rng = np.random.default_rng(0)
    is_normal = [number % 6 != 5 for number in range(max(COUNTS.values()))]
    splits = {
        split: [draw_sequence(i, split != "test" or is_normal[i], rng) for i in range(count)]
        for split, count in COUNTS.items()
    }
    labels = [LABELS[not normal] for normal in is_normal]
    dataset = store_sequences(
        splits, labels=labels, name_key=name_key, feature_names=list(FEATURES)
    )
    folder = dataset.split("train").files[0].parent
    (folder / "rejects").mkdir()
    reject = json.dumps({"reason": REASON})
    (folder / "rejects" / "rejects-00000-of-00001.jsonl").write_text(f"{reject}\n" * 3)
    return dataset


@pytest.fixture(scope="session")
def report(train_small, hostile_dataset):
    run, _ = train_small(hostile_dataset, epochs=3)
    return report_run(run, details=True)

"""Writes raw input for the benchmarks: Parquet, a row per sequence, lognormal lengths."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS_PER_FILE = 50_000
ROWS_PER_GROUP = 5_000


def write_parquet(directory, num_sequences, num_features):
    """Writes as many files as the sequences need; returns their number of bytes."""
    os.makedirs(directory, exist_ok=True)
    num_bytes = 0
    for start in range(0, num_sequences, ROWS_PER_FILE):
        path = os.path.join(directory, f"{start:09d}.parquet")
        _write_file(path, start, min(start + ROWS_PER_FILE, num_sequences), num_features)
        num_bytes += os.path.getsize(path)
    return num_bytes


def _write_file(path, start, stop, num_features):
    rng = np.random.default_rng(start)
    writer = None
    for first in range(start, stop, ROWS_PER_GROUP):
        table = _draw_table(rng, first, min(first + ROWS_PER_GROUP, stop), num_features)
        writer = writer or pq.ParquetWriter(path, table.schema, compression="none")
        writer.write_table(table)
    writer.close()


def _draw_table(rng, start, stop, num_features):
    lengths = np.clip(rng.lognormal(np.log(40), 0.5, stop - start).astype(int), 1, None)
    values = rng.standard_normal((lengths.sum(), num_features), np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps = pa.ListArray.from_arrays(
        np.arange(len(values) + 1, dtype=np.int32) * num_features, values.ravel()
    )
    sequences = pa.ListArray.from_arrays(offsets.astype(np.int32), steps)
    keys = pa.array([f"run/{i}" for i in range(start, stop)])
    return pa.table({"key": keys, "sequence": sequences})

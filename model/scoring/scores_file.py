"""Embeddings and scores as a Parquet file, which appears whole or not at all."""

from __future__ import annotations

import collections
import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from etils import epath

from padless.model.scoring.calibration import Calibration, check_level
from padless.model.scoring.inference import TIMESTEPS, Inference
from padless.model.scoring.merging import merge_pieces
from padless.model.scoring.recordings import (
    FEWEST_RECORDINGS,
    are_compared,
    recording_p_values,
    smallest_recording_p_values,
)
from padless.pipeline.dataset.directory import SequenceDataset
from padless.pipeline.dataset.names import (
    NUM_PIECES,
    OUTPUT_COLUMNS,
    SCORE_PARTS,
    TIMESTEP_SCORE,
    VALIDATION_SPLIT,
    WORST_PIECE,
    meta_feature,
)
from padless.pipeline.progress import Progress, ShowProgress, counted, ignore_progress
from padless.pipeline.protected import check_output_file
from padless.pipeline.wording import as_range, list_names, plural
from padless.pipeline.written_whole import written_whole

_LOGGER = logging.getLogger(__name__)
# How many times as long as the longest, or as short as the shortest, is much longer or shorter.
_MUCH_LONGER = 1.5


def write_parquet(
    inference: Inference,
    dataset: SequenceDataset,
    output: epath.PathLike,
    *,
    splits: Sequence[str] | None = None,
    name_splits: bool = True,
    calibration: Calibration | None = None,
    level: float | None = None,
    merge: bool = False,
    tell_not_finite: Callable[[int], None] | None = None,
    progress: ShowProgress = ignore_progress,
) -> int:
    """Writes the outputs for all sequences of a dataset as a Parquet file, whole or not at all.

    Columns: `key` string; `split` string, if named; `label` string, where there is one; the columns
    that the dataset carries, string; `length` int64; `embedding` fixed-size list of float32;
    `score` float32; `p_value` float32, if calibrated; `is_anomaly` bool, at a level; `score_shape`,
    `score_level`, `score_error` and `score_unexplained` float32, which add up to `score`, where the
    inference computes them; `error` and `unexplained` float32; `feature_error` fixed-size list of
    float32; `timestep_error` list of such lists, where the inference computes it. Rows are in the
    order of the splits and of the records in them. Merged, there is a row for each sequence that
    was cut into pieces, with the columns `pieces` int64, `worst_piece` string and `timestep_score`
    list of float32, see `padless.model.scoring.merging`.

    Args:
        inference: the model and the outputs.
        dataset: an opened dataset whose records have keys.
        output: the file; one that exists is replaced.
        splits: names of the splits to take; all if None.
        name_splits: whether to write the column `split`.
        calibration: what the p-values compare with, that of the same run as the model; there are
            none if None.
        level: largest p-value of what is called an anomaly; nothing is if None.
        merge: whether to merge the rows of pieces; the inference must compute scores and
            `TIMESTEPS`, and those of a split are held in memory.
        tell_not_finite: called with the number of sequences whose score is not finite, instead of
            a warning of them.
        progress: called with how many are done, see `padless.pipeline.Progress`.

    Returns:
        The number of rows.

    Raises:
        FileNotFoundError: if the folder of `output` is missing.
        ValueError: if a split is unknown, the records are damaged or have no keys, a key is not
            UTF-8, a column that the dataset carries is one of the output, there is a calibration
            but no score, or the level is one that no p-value reaches.
    """
    output = check_output(output)
    if dataset.record_format.key is None:
        raise ValueError(f"Dataset {dataset.name!r} must have a key in each record, it has none.")
    if calibration is not None and "score" not in inference.outputs:
        raise ValueError(
            f"`calibration` needs the output 'score', got {list_names(inference.outputs)}."
        )
    _check_level(level, calibration)
    chosen = [dataset.split(name) for name in (dataset.splits if splits is None else splits)]
    added = {
        "split": name_splits,
        "p_value": calibration is not None,
        "is_anomaly": level is not None,
        **dict.fromkeys((NUM_PIECES, WORST_PIECE, TIMESTEP_SCORE), merge),
    }
    schema = _schema(inference, dataset, {name for name, is_added in added.items() if is_added})
    work = "score" if "score" in inference.outputs else "embed"
    start = Progress(work, 0, sum(split.num_sequences for split in chosen), "sequences")
    windows = counted(
        _windows(inference, dataset, [split.name for split in chosen], calibration),
        *(progress, start),
        size=lambda window: len(window["length"]),
    )
    num_rows = num_bad = num_silent = 0
    least_p_value = 1.0
    with (
        written_whole(output, shared=True) as beside,
        pq.ParquetWriter(str(beside), schema) as writer,
    ):
        for window in _merged(windows, dataset, calibration) if merge else windows:
            if level is not None:
                is_anomaly = window["p_value"] <= np.float32(level)
                window["is_anomaly"] = np.ma.array(is_anomaly, mask=np.isnan(window["p_value"]))
                if merge and calibration is not None:
                    least = smallest_recording_p_values(calibration, window[NUM_PIECES])
                    num_silent += int((least > level).sum())
                    least_p_value = min(least_p_value, least[least > level].min(initial=1))
            writer.write_table(_as_table(window, schema))
            num_bad += _count_not_finite(window)
            num_rows += len(window["length"])
    if num_silent and level is not None and calibration is not None:
        _warn_silent(output, (num_silent, num_rows), level, least_p_value)
    if tell_not_finite is not None:
        tell_not_finite(num_bad)
    else:
        warn_not_finite(output, num_bad, num_rows, is_score="score" in inference.outputs)
    return num_rows


def warn_not_finite(
    output: epath.PathLike, num_bad: int, num_rows: int, *, is_score: bool = True
) -> None:
    """Warns of sequences whose score, or embedding, is not finite, if there are any."""
    if num_bad:
        _LOGGER.warning(
            "%s: %s of %s sequences have %s that is not finite: look at their values, or train "
            "the model anew.",
            *(output, f"{num_bad:,}", f"{num_rows:,}", "a score" if is_score else "an embedding"),
        )


def warn_of_other_lengths(
    calibration: Calibration, dataset: SequenceDataset, splits: Sequence[str] | None = None
) -> str | None:
    """Warns of sequences much shorter or longer than all that their p-values compare with.

    Args:
        calibration: of the run.
        dataset: what is scored.
        splits: names of the splits to take; all if None.

    Returns:
        The sentence that was logged, or None where there are no such sequences.
    """
    first, last = int(calibration.length[0]), int(calibration.length[-1])
    counts: collections.Counter[int] = collections.Counter()
    for name in dataset.splits if splits is None else splits:
        counts.update(dataset.split(name).lengths)
    beyond = [n for n in counts if n * _MUCH_LONGER < first or n > last * _MUCH_LONGER]
    if not beyond:
        return None
    found = (
        f"{sum(counts[n] for n in beyond):,} of {counts.total():,} sequences are much shorter or "
        f"longer ({as_range(beyond)} timesteps) than all that p-values compare with "
        f"({as_range((first, last))} timesteps, split {calibration.split!r}): what is usual at "
        "such lengths is not known."
    )
    _LOGGER.warning("%s", found)
    return found


def _warn_silent(
    output: epath.Path, counts: tuple[int, int], level: float, least_p_value: float
) -> None:
    """Warns of sequences whose p-value cannot be small enough for an anomaly.

    Args:
        output: the file.
        counts: of such sequences, and of all.
        level: largest p-value of an anomaly.
        least_p_value: the smallest that one of them can have.
    """
    num_silent, num_rows = counts
    _LOGGER.warning(
        "%s: %s of %s sequences cannot be an anomaly at the level %s: their p-values are at least "
        "%.2g. Compare scores, or train with more recordings to compare with: %s that were cut "
        "allow it (a larger split %r).",
        *(output, f"{num_silent:,}", f"{num_rows:,}", level, least_p_value),
        *(f"{max(FEWEST_RECORDINGS, math.ceil(1 / level) - 1):,}", VALIDATION_SPLIT),
    )


def _tell_comparison(calibration: Calibration, pieces: np.ndarray) -> None:
    """Logs what the p-values of the recordings among some sequences compare with."""
    was_cut = pieces > 1
    compared = are_compared(calibration, pieces)
    least = smallest_recording_p_values(calibration, pieces)
    if compared.any():
        _LOGGER.info(
            "p-values of %s compare with %s of the split %r; the smallest is %.2g",
            plural(int(compared.sum()), "recording"),
            plural(len(calibration.recordings.score) if calibration.recordings else 0, "recording"),
            *(calibration.split, least[compared].min()),
        )
    if (added_up := was_cut & ~compared).any():
        _LOGGER.info(
            "p-values of %s are the smallest of their pieces times the number of these, at least "
            "%.2g: a comparison with recordings needs %s, one in as many pieces",
            plural(int(added_up.sum()), "recording"),
            *(least[added_up].min(), f"{FEWEST_RECORDINGS} in the split {VALIDATION_SPLIT!r}"),
        )


def _windows(
    inference: Inference,
    dataset: SequenceDataset,
    splits: Sequence[str],
    calibration: Calibration | None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the windows of splits, with the columns that do not come from the model."""
    for split in splits:
        for window in inference.windows(dataset, split):
            for column in dataset.record_format.meta_columns:
                window[column] = window.pop(meta_feature(column))
            window["split"] = np.full(len(window["length"]), split.encode())
            if calibration is not None:
                window["p_value"] = _p_values(calibration, window)
            yield window


def _merged(
    windows: Iterator[dict[str, np.ndarray]],
    dataset: SequenceDataset,
    calibration: Calibration | None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the rows of a split at once, those of pieces merged."""
    same = ("label", "split", *dataset.record_format.meta_columns)
    for _, of_split in itertools.groupby(windows, lambda window: window["split"][0]):
        merged = merge_pieces(of_split, same)
        if calibration is not None:
            pieces = merged[NUM_PIECES]
            found = recording_p_values(calibration, pieces, merged["score"], merged["p_value"])
            merged["p_value"] = found.astype(np.float32)
            _tell_comparison(calibration, pieces)
        yield merged


def _count_not_finite(window: dict[str, np.ndarray]) -> int:
    """Counts the sequences whose score, or without one whose embedding, is not finite."""
    values = window["score" if "score" in window else "embedding"]
    return int((~np.isfinite(values.reshape(len(values), -1)).all(axis=1)).sum())


def _check_level(level: float | None, calibration: Calibration | None) -> None:
    if level is None:
        return
    if calibration is None:
        raise ValueError(f"`level` needs p-values, got {level} without a calibration.")
    check_level(level, calibration.length)


def _p_values(calibration: Calibration, window: dict[str, np.ndarray]) -> np.ndarray:
    return calibration.p_values(window["length"], window["score"]).astype(np.float32)


def check_output(output: epath.PathLike) -> epath.Path:
    """Checks that a file can be written there, before any work is done for it.

    Raises:
        FileNotFoundError: if its folder is missing.
        IsADirectoryError: if it is a folder itself.
        ValueError: if it is named as a file of another form, or is inside a dataset or a training
            run.
    """
    output = epath.Path(output)
    check_output_file(output)
    if output.suffix.lower() != ".parquet":
        raise ValueError(
            f"{output}: the output is Parquet, as some columns hold lists, and must be named so: "
            f"{output.with_suffix('.parquet').name}. pandas, polars and DuckDB read it."
        )
    return output


def _schema(inference: Inference, dataset: SequenceDataset, added: set[str]) -> pa.Schema:
    """Returns the columns: those of the outputs, and of `added` those that are not always there."""
    carried = dataset.record_format.meta_columns
    if clash := [name for name in carried if name in OUTPUT_COLUMNS]:
        raise ValueError(
            f"Dataset {dataset.name!r} must not carry columns that the output has, got "
            f"{list_names(clash)}."
        )
    of_features = pa.list_(pa.float32(), inference.model.num_features)
    types = {
        "key": pa.string(),
        "split": pa.string(),
        "label": pa.string(),
        **dict.fromkeys(carried, pa.string()),
        "length": pa.int64(),
        "embedding": pa.list_(pa.float32(), inference.embedding_size),
        "score": pa.float32(),
        "p_value": pa.float32(),
        "is_anomaly": pa.bool_(),
        **dict.fromkeys(SCORE_PARTS, pa.float32()),
        "error": pa.float32(),
        "unexplained": pa.float32(),
        "feature_error": of_features,
        TIMESTEPS: pa.list_(of_features),
        NUM_PIECES: pa.int64(),
        WORST_PIECE: pa.string(),
        TIMESTEP_SCORE: pa.list_(pa.float32()),
    }
    written = {"key", "length", *added, *inference.outputs}
    written |= {"label"} if dataset.record_format.label else set()
    written |= set(carried)
    return pa.schema([(name, kind) for name, kind in types.items() if name in written])


def _as_table(window: dict[str, np.ndarray], schema: pa.Schema) -> pa.Table:
    return pa.table([_as_array(window[field.name], field.type) for field in schema], schema=schema)


def _as_array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_list(kind):
        offsets = np.cumsum([0, *map(len, values)], dtype=np.int32)
        return pa.ListArray.from_arrays(offsets, _as_array(np.concatenate(values), kind.value_type))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), kind.list_size)
    if pa.types.is_string(kind):
        try:
            return pa.array(values.tolist(), pa.binary()).cast(kind)
        except pa.ArrowInvalid as error:
            bad = next(value for value in values if value.decode(errors="ignore").encode() != value)
            raise ValueError(f"Keys and labels must be UTF-8, got {bad!r}.") from error
    return pa.array(values, kind)

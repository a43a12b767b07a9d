"""Embeddings and scores of sequences: in the order they are read, whatever their batch-mates.

1. Records are read in order, a window of some thousands at a time.
2. Within a window, sequences of neighbouring lengths are run as one packed batch, nothing padded.
3. The results go back into the order of the records, and into a Parquet file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from etils import epath

from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.scoring.calibration import Calibration
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.packed_rows import parse_packed
from padless.pipeline.batching.packing import PackedSequences, Packing, assert_not_empty
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.records import RecordFormat, parse_lengths
from padless.pipeline.progress import Progress, ShowProgress, ignore_progress
from padless.pipeline.written_whole import written_whole

EMBEDDING = ("embedding",)
EVERYTHING = ("embedding", "score", "error", "unexplained", "feature_error")
BASELINES = ("feature_mean_error", "own_mean_error")
WITH_BASELINES = (*EVERYTHING, "pooled", "level", *BASELINES)
_WINDOW = 4096
_MAX_BATCH_TIMESTEPS = 65_536


class Inference:
    """Runs a model over datasets.

    Args:
        model: the autoencoder.
        outputs: what to compute: `EMBEDDING`, which leaves the decoder out; `EVERYTHING`; or
            `WITH_BASELINES`, which adds what the anomaly score is fitted to, and the errors of two
            guesses that need no model: each feature's mean over the training split, and each
            sequence's own mean.
    """

    def __init__(self, model: SequenceAutoencoder, outputs: tuple[str, ...] = EVERYTHING):
        self.model = model
        self.outputs = outputs
        # One trace for all lengths.
        values = tf.TensorSpec((None, model.num_features), tf.float32)
        signature = (values, tf.TensorSpec((None,), tf.int64))
        self._run = tf.function(self._compute, input_signature=signature, autograph=False)

    def windows(self, dataset: SequenceDataset, split: str) -> Iterator[dict[str, np.ndarray]]:
        """Computes the outputs of a split, window by window, in the order of its records.

        Yields:
            `length` `(window,)` int64, the outputs (see `SequenceAutoencoder.analyze`; the errors
            of the baselines are as `feature_error`), and `key` and `label` `(window,)` bytes, where
            the records have them.

        Raises:
            ValueError: if the records are damaged; names the file.
        """
        source, record_format = dataset.split(split), dataset.record_format
        with explained(source):
            for window in read_windows(source, record_format):
                yield _in_order(self._run_window(window, record_format))

    def _run_window(
        self, window: Mapping[str, np.ndarray], record_format: RecordFormat
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yields the rows of the window that each packed batch holds, and its outputs."""
        for rows in self._cut(window["length"]):
            batch = parse_packed(tf.gather(window["serialized"], rows), record_format)
            assert_not_empty(batch["length"])
            computed = self._run(batch.pop("values"), batch["length"])
            yield rows, {name: values.numpy() for name, values in {**batch, **computed}.items()}

    def _cut(self, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the rows of each packed batch: by falling length, and of bounded size.

        Where the model pads, and on a GPU, whose operation works on a rectangle, that is counted.
        """
        order = np.argsort(-lengths, kind="stable")
        if not self.model.alignment.pads and not tf.config.get_visible_devices("GPU"):
            before = lengths[order].cumsum() - lengths[order]
            cuts = np.flatnonzero(np.diff(before // _MAX_BATCH_TIMESTEPS)) + 1
            yield from np.split(order, cuts)
            return
        while len(order):
            rows = max(1, _MAX_BATCH_TIMESTEPS // self.model.padded_length(lengths[order]))
            yield order[:rows]
            order = order[rows:]

    def _compute(self, values: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = PackedSequences(values, length)
        if self.outputs == EMBEDDING:
            return {"embedding": self.model.embed(packed)}
        computed = self.model.analyze(packed)
        computed = {name: computed[name] for name in self.outputs if name in computed}
        if self.outputs == WITH_BASELINES:
            standardized, packing = self.model.standardize(values), Packing.of(length)
            deviation = standardized - tf.gather(packing.mean(standardized), packing.row)
            for name, error in zip(BASELINES, (standardized, deviation), strict=True):
                computed[name] = packing.mean(tf.square(error))
        return computed


def write_parquet(
    inference: Inference,
    dataset: SequenceDataset,
    output: epath.PathLike,
    *,
    splits: Sequence[str] | None = None,
    name_splits: bool = True,
    calibration: Calibration | None = None,
    progress: ShowProgress = ignore_progress,
) -> int:
    """Writes the outputs for all sequences of a dataset as a Parquet file, whole or not at all.

    Columns: `key` string; `split` string, if named; `label` string, where there is one; `length`
    int64; `embedding` fixed-size list of float32; `score` float32; `p_value` float32, if
    calibrated; `error` and `unexplained` float32; `feature_error` fixed-size list of float32. Rows
    are in the order of the splits and of the records in them.

    Args:
        inference: the model and the outputs.
        dataset: an opened dataset whose records have keys.
        output: the file; one that exists is replaced.
        splits: names of the splits to take; all if None.
        name_splits: whether to write the column `split`.
        calibration: what the p-values compare with, that of the same run as the model; there are
            none if None.
        progress: called with how many are done, see `padless.pipeline.Progress`.

    Returns:
        The number of sequences.

    Raises:
        FileNotFoundError: if the folder of `output` is missing.
        ValueError: if a split is unknown, the records are damaged or have no keys, a key is not
            UTF-8, or there is a calibration but no score.
    """
    output = check_output(output)
    if dataset.record_format.key is None:
        raise ValueError(f"Dataset {dataset.name!r} must have a key in each record, it has none.")
    if calibration is not None and "score" not in inference.outputs:
        raise ValueError(f"`calibration` needs the output 'score', got {inference.outputs}.")
    chosen = [dataset.split(name) for name in (dataset.splits if splits is None else splits)]
    schema = _schema(
        inference, dataset, name_splits=name_splits, with_p_value=calibration is not None
    )
    total, done = sum(split.num_sequences for split in chosen), 0
    work = "score" if "score" in inference.outputs else "embed"
    progress(Progress(work, done, total, "sequences"))
    with (
        written_whole(output, shared=True) as beside,
        pq.ParquetWriter(str(beside), schema) as writer,
    ):
        for split in chosen:
            for window in inference.windows(dataset, split.name):
                if name_splits:
                    window["split"] = np.full(len(window["length"]), split.name.encode())
                if calibration is not None:
                    window["p_value"] = _p_values(calibration, window)
                writer.write_table(_as_table(window, schema))
                done += len(window["length"])
                progress(Progress(work, done, total, "sequences"))
    return done


def _p_values(calibration: Calibration, window: dict[str, np.ndarray]) -> np.ndarray:
    return calibration.p_values(window["length"], window["score"]).astype(np.float32)


def check_output(output: epath.PathLike) -> epath.Path:
    """Checks that a file can be written there, before any work is done for it.

    Raises:
        FileNotFoundError: if its folder is missing.
        IsADirectoryError: if it is a folder itself.
    """
    output = epath.Path(output)
    if output.is_dir():
        raise IsADirectoryError(f"{output}: the output must be a file, it is a directory.")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output}: the folder {output.parent} does not exist.")
    return output


def read_windows(split: Split, record_format: RecordFormat) -> Iterator[dict[str, np.ndarray]]:
    """Reads the records of a split in order, unparsed, some thousands at a time.

    Yields:
        `serialized` `(window,)` bytes and `length` `(window,)` int64.

    Raises:
        ValueError: at the end, if there were not as many as the dataset counts.
        tf.errors.OpError: if the records are damaged; `padless.pipeline.batching.damage.explained`
            names the file.
    """
    seen = 0

    def with_lengths(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"serialized": serialized, "length": parse_lengths(serialized, record_format)}

    records = tf.data.TFRecordDataset([str(file) for file in split.files])
    windows = untuned(records.batch(_WINDOW).map(with_lengths).prefetch(1))
    for window in windows.as_numpy_iterator():
        yield window
        seen += len(window["length"])
    if seen != split.num_sequences:
        raise ValueError(
            f"{split.files[0].parent}: split {split.name!r} must hold the {split.num_sequences} "
            f"sequences that its lengths.json counts, got {seen}: a shard has lost records."
        )


def _in_order(batches: Iterator) -> dict[str, np.ndarray]:
    """Puts the batches of a window into the order of its records."""
    all_rows, parts = zip(*batches, strict=True)
    order = np.argsort(np.concatenate(all_rows))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _schema(
    inference: Inference, dataset: SequenceDataset, *, name_splits: bool, with_p_value: bool
) -> pa.Schema:
    num_features = inference.model.num_features
    types = {
        "key": pa.string(),
        "split": pa.string() if name_splits else None,
        "label": dataset.record_format.label and pa.string(),
        "length": pa.int64(),
        "embedding": pa.list_(pa.float32(), inference.model.embedding_size),
        "score": pa.float32(),
        "p_value": pa.float32() if with_p_value else None,
        "error": pa.float32(),
        "unexplained": pa.float32(),
        "feature_error": pa.list_(pa.float32(), num_features),
    }
    left_out = set(EVERYTHING) - set(inference.outputs)
    return pa.schema(
        [(name, kind) for name, kind in types.items() if kind and name not in left_out]
    )


def _as_table(window: dict[str, np.ndarray], schema: pa.Schema) -> pa.Table:
    return pa.table([_as_array(window[field.name], field.type) for field in schema], schema=schema)


def _as_array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), kind.list_size)
    if pa.types.is_string(kind):
        try:
            return pa.array(values.tolist(), pa.binary()).cast(kind)
        except pa.ArrowInvalid as error:
            bad = next(value for value in values if value.decode(errors="ignore").encode() != value)
            raise ValueError(f"Keys and labels must be UTF-8, got {bad!r}.") from error
    return pa.array(values, kind)

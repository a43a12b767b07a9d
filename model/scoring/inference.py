"""Embeddings and scores of sequences: in the order they are read, whatever their batch-mates.

1. Records are read in order, a window of some thousands at a time.
2. Within a window, sequences of neighbouring lengths are run as one packed batch, nothing padded.
3. The results go back into the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from padless.model.network.anomaly_score import Traits, weigh
from padless.model.network.autoencoder import SequenceAutoencoder
from padless.model.network.pooling import mean_of_seen
from padless.pipeline.batching.damage import explained
from padless.pipeline.batching.packed_rows import parse_packed
from padless.pipeline.batching.packing import PackedSequences, Packing, assert_not_empty
from padless.pipeline.batching.untuned import untuned
from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.framing import check_record_sizes
from padless.pipeline.dataset.names import SCORE_PARTS, meta_feature
from padless.pipeline.dataset.records import RecordFormat, parse_lengths
from padless.pipeline.dataset.static_columns import StaticScale

EMBEDDING = ("embedding",)
EVERYTHING = ("embedding", "score", "error", "unexplained", "feature_error")
TIMESTEPS = "timestep_error"
EVERYTHING_AND_TIMESTEPS = (*EVERYTHING, TIMESTEPS)
# What a file of scores holds.
SCORED = (*EVERYTHING, *SCORE_PARTS)
SCORED_AND_TIMESTEPS = (*SCORED, TIMESTEPS)
BASELINES = ("feature_mean_error", "own_mean_error")
WITH_BASELINES = (*EVERYTHING, "pooled", "level", *BASELINES)
_WINDOW = 4096
_MAX_BATCH_TIMESTEPS = 65_536


class Inference:
    """Runs a model over datasets.

    Args:
        model: the autoencoder.
        outputs: what to compute: `EMBEDDING`, which leaves the decoder out; `EVERYTHING`, to which
            `SCORE_PARTS` may be added, which add up to the score, and `TIMESTEPS`, the errors of
            each timestep; or `WITH_BASELINES`, which adds
            what the anomaly score is fitted to, and the errors of two guesses that need no model:
            each feature's mean over the training split, and each sequence's own mean.
        static: scales of the static columns that join the embedding, after what the model gives;
            the records must carry them.
    """

    def __init__(
        self,
        model: SequenceAutoencoder,
        outputs: tuple[str, ...] = EVERYTHING,
        *,
        static: Sequence[StaticScale] = (),
    ):
        self.model = model
        self.outputs = outputs
        self.static = tuple(static)
        # One trace for all lengths.
        values = tf.TensorSpec((None, model.num_features), tf.float32)
        signature = (values, tf.TensorSpec((None,), tf.int64))
        self._run = tf.function(self._compute, input_signature=signature, autograph=False)

    @property
    def embedding_size(self) -> int:
        """Values in an embedding, those of static columns included."""
        return self.model.embedding_size + len(self.static)

    def windows(self, dataset: SequenceDataset, split: str) -> Iterator[dict[str, np.ndarray]]:
        """Computes the outputs of a split, window by window, in the order of its records.

        Yields:
            `length` `(window,)` int64, the outputs (see `SequenceAutoencoder.analyze`; the errors
            of the baselines are as `feature_error`; those of timesteps are an array `(timesteps,
            features)` for each sequence, in an array of objects), and `key` and `label` `(window,)`
            bytes, where the records have them.

        Raises:
            ValueError: if the records are damaged; names the file.
        """
        source, record_format = dataset.split(split), dataset.record_format
        with explained(source):
            for window in read_windows(source, record_format):
                yield _in_order(self._run_window(window, record_format))

    def compute(
        self, records: Sequence[bytes], record_format: RecordFormat
    ) -> dict[str, np.ndarray]:
        """Computes the outputs of records in memory, bit for bit as `windows` does of a file.

        Args:
            records: serialized examples, at least one.
            record_format: how they are read.

        Returns:
            What `windows` yields, of all records at once.
        """
        found = []
        for start in range(0, len(records), _WINDOW):
            window = _with_lengths(tf.constant(records[start : start + _WINDOW]), record_format)
            window = {name: values.numpy() for name, values in window.items()}
            found.append(_in_order(self._run_window(window, record_format)))
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def _run_window(
        self, window: Mapping[str, np.ndarray], record_format: RecordFormat
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Yields the rows of the window that each packed batch holds, and its outputs."""
        for rows in cut_batches(self.model, window["length"]):
            batch = parse_packed(tf.gather(window["serialized"], rows), record_format)
            assert_not_empty(batch["length"])
            computed = self._run(batch.pop("values"), batch["length"])
            found = {name: values.numpy() for name, values in {**batch, **computed}.items()}
            if TIMESTEPS in found:
                found[TIMESTEPS] = _cut_rows(computed[TIMESTEPS], batch["length"])
            if self.static:
                found["embedding"] = self._with_static(found)
            yield rows, found

    def _with_static(self, found: Mapping[str, np.ndarray]) -> np.ndarray:
        """Returns the embeddings of a batch with its static columns, standardized."""
        columns = [
            np.array([scale.standardize(text) for text in found[meta_feature(scale.name)]])
            for scale in self.static
        ]
        return np.column_stack((found["embedding"], *columns)).astype(np.float32)

    def _compute(self, values: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        packed = PackedSequences(values, length)
        if self.outputs == EMBEDDING:
            return {"embedding": self.model.embed(packed)}
        computed = self.model.analyze(packed, timesteps=TIMESTEPS in self.outputs)
        if set(SCORE_PARTS) <= set(self.outputs):
            computed |= _divide_score(self.model, computed)
        computed = {name: computed[name] for name in self.outputs if name in computed}
        if self.outputs == WITH_BASELINES:
            standardized, packing = self.model.standardize(values), Packing.of(length)
            missing = self.model.architecture.masks_missing
            seen = ~tf.math.is_nan(standardized) if missing else None
            mean = mean_of_seen(standardized, packing, seen)
            deviation = standardized - tf.gather(mean, packing.row)
            for name, error in zip(BASELINES, (standardized, deviation), strict=True):
                computed[name] = mean_of_seen(tf.square(error), packing, seen)
        return computed


def _divide_score(
    model: SequenceAutoencoder, computed: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Computes the parts of the score, and the score from them, so that it is computed once."""
    parts = model.anomaly_score.parts(Traits(*(computed[name] for name in Traits._fields)))
    terms = weigh(parts)
    return {"score": sum(terms), **dict(zip(SCORE_PARTS, terms, strict=True))}


def cut_batches(model: SequenceAutoencoder, lengths: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts sequences into packed batches of bounded size.

    Where the model pads, and on a GPU, whose operation works on a rectangle, that is counted.

    Args:
        model: what is to run.
        lengths: of the sequences, `(sequences,)`.

    Yields:
        The numbers of the sequences of a batch, `(rows,)`, by falling length.
    """
    order = np.argsort(-lengths, kind="stable")
    if not model.alignment.pads and not tf.config.get_visible_devices("GPU"):
        before = lengths[order].cumsum() - lengths[order]
        cuts = np.flatnonzero(np.diff(before // _MAX_BATCH_TIMESTEPS)) + 1
        yield from filter(len, np.split(order, cuts))
        return
    while len(order):
        rows = max(1, _MAX_BATCH_TIMESTEPS // model.padded_length(lengths[order]))
        yield order[:rows]
        order = order[rows:]


def read_windows(split: Split, record_format: RecordFormat) -> Iterator[dict[str, np.ndarray]]:
    """Reads the records of a split in order, unparsed, some thousands at a time.

    Yields:
        `serialized` `(window,)` bytes and `length` `(window,)` int64.

    Raises:
        ValueError: if the size of a record leads out of its file; at the end, if there were not
            as many as the dataset counts.
        tf.errors.OpError: if the records are damaged; `padless.pipeline.batching.damage.explained`
            names the file.
    """
    seen = 0
    for file in split.files:
        check_record_sizes(file)

    records = tf.data.TFRecordDataset([str(file) for file in split.files]).batch(_WINDOW)
    windows = untuned(records.map(lambda batch: _with_lengths(batch, record_format)).prefetch(1))
    for window in windows.as_numpy_iterator():
        yield window
        seen += len(window["length"])
    if seen != split.num_sequences:
        raise ValueError(
            f"{split.files[0].parent}: split {split.name!r} must hold the {split.num_sequences} "
            f"sequences that its lengths.json counts, got {seen}: a shard has lost records."
        )


def _with_lengths(serialized: tf.Tensor, record_format: RecordFormat) -> dict[str, tf.Tensor]:
    return {"serialized": serialized, "length": parse_lengths(serialized, record_format)}


def _in_order(batches: Iterator) -> dict[str, np.ndarray]:
    """Puts the batches of a window into the order of its records."""
    all_rows, parts = zip(*batches, strict=True)
    order = np.argsort(np.concatenate(all_rows))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _cut_rows(values: tf.Tensor, length: tf.Tensor) -> np.ndarray:
    """Cuts packed values into an array for each row, `(rows,)` objects."""
    ragged = PackedSequences(values, length).to_ragged()
    rows = np.empty(len(length), object)
    rows[:] = np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1])
    return rows

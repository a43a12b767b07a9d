"""The stages of a `tf.data.Dataset`: what can be read of them before anything is iterated.

TensorFlow has no public list of them. Each dataset knows its inputs and its settings by private
names; what a release calls otherwise is then not told, and nothing else changes.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

# Stages that give one element for each element.
_ONE_TO_ONE = {"Map", "ParallelMap", "Prefetch", "Cache", "Options", "Shuffle", "DenseToRagged"}
_ONE_TO_ONE |= {"AssertCardinality", "Restructured"}
_BATCHES = {"Batch", "ParallelBatch", "PaddedBatch", "GroupByWindow"}
_BATCH_OPS = ("PaddedBatchDatasetV2", "BatchDatasetV2", "ParallelBatchDataset")
_PUBLIC_NAMES = {
    "ParallelMap": "map",
    "ParallelBatch": "batch",
    "ParallelInterleave": "interleave",
    "TensorSlice": "from_tensor_slices",
    "Tensor": "from_tensors",
    "TFRecord": "TFRecordDataset",
    "DirectedInterleave": "sample_from_datasets",
}
# Neither written by users nor telling them anything.
_HIDDEN = {"Options", "Variant", "Restructured", "DenseToRagged"}


def kind_of(dataset: Any) -> str:
    """Returns the kind of a dataset's last stage, such as `"PaddedBatch"`."""
    return re.sub(r"Dataset(V\d)?$", "", type(dataset).__name__.lstrip("_"))


def inputs_of(dataset: Any) -> list[Any]:
    """Returns the datasets that a dataset is made from, as far as it tells."""
    list_inputs = getattr(dataset, "_inputs", None)
    return [] if list_inputs is None else list(list_inputs())


def walk(dataset: Any) -> Iterator[Any]:
    """Yields a dataset, and all that it is made from, the last stage first."""
    yield dataset
    for one in inputs_of(dataset):
        yield from walk(one)


def name_stages(dataset: Any) -> list[str]:
    """Names the stages as `tf.data` calls them, from the source to the end."""
    names = []
    for stage in walk(dataset):
        kind = kind_of(stage)
        if kind == "FlatMap" and _is_generator(stage):
            names.append("from_generator")
            break
        if kind == "GroupByWindow" and find_boundaries(stage) is not None:
            names.append("bucket_by_sequence_length")
        elif kind not in _HIDDEN:
            names.append(_PUBLIC_NAMES.get(kind) or _in_snake_case(kind))
        if len(inputs_of(stage)) > 1:
            break  # several branches, whose stages are in no one order
    return names[::-1]


def _in_snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _is_generator(dataset: Any) -> bool:
    return [kind_of(one) for one in inputs_of(dataset)] == ["Tensor"]


def read_setting(dataset: Any, name: str) -> Any:
    """Returns a setting of a stage as NumPy holds it, None if it is not there."""
    value = getattr(dataset, f"_{name}", None)
    return value.numpy() if isinstance(value, tf.Tensor) else value


def caches_in_files(dataset: Any) -> bool:
    """Checks whether a stage keeps elements in files, which an unfinished epoch would spoil."""
    caches = [stage for stage in walk(dataset) if kind_of(stage) == "Cache"]
    return any(read_setting(stage, "filename") not in (None, b"", "") for stage in caches)


def has_stage(dataset: Any, kind: str) -> bool:
    """Checks whether there is a stage of a kind."""
    return any(kind_of(stage) == kind for stage in walk(dataset))


def strip_repeat(dataset: Any) -> Any | None:
    """Returns the dataset that endless epochs repeat, None if it cannot be reached.

    What comes after `repeat()` must not change elements.
    """
    stage = dataset
    while kind_of(stage) in ("Prefetch", "Options") and inputs_of(stage):
        stage = inputs_of(stage)[0]
    is_endless = kind_of(stage) == "Repeat" and read_setting(stage, "count") == -1
    return inputs_of(stage)[0] if is_endless else None


@dataclasses.dataclass(frozen=True, slots=True)
class BatchStage:
    """The stage that makes batches of sequences.

    Attributes:
        output: the dataset of batches.
        source: the dataset of sequences that it takes.
        drops_remainder: whether batches that are not full are dropped, None if it is not told.
        padding_values: the value that each component is padded by, None where nothing pads.
        batch_size: sequences of a full batch; None where it depends on the length.
        boundaries: those of `bucket_by_sequence_length`, or None.
    """

    output: Any
    source: Any
    drops_remainder: bool | None
    padding_values: tuple[Any, ...] | None
    batch_size: int | None
    boundaries: tuple[int, ...] | None = None

    def group(self, described: Any) -> Any:
        """Makes of a dataset of dicts the batches that this stage makes, none of them dropped.

        Args:
            described: a dict of scalars for each sequence of `source`; where batches are grouped,
                the number of its group is `bucket`.
        """
        if self.batch_size is not None:
            return described.batch(self.batch_size)
        size = self.output._window_size_func.function
        return described.group_by_window(
            key_func=lambda sequence: sequence["bucket"],
            reduce_func=lambda bucket, window: window.batch(np.iinfo(np.int32).max),
            window_size_func=lambda bucket: _call(size, bucket),
        )

    def find_bucket(self, components: list[Any]) -> Any:
        """Computes the group of a sequence from its components, inside a graph."""
        return _call(self.output._key_func.function, *components)

    def size_of(self, bucket: int) -> int:
        """Returns the sequences of a full batch of a group."""
        if self.batch_size is not None:
            return self.batch_size
        size = self.output._window_size_func.function
        return int(_call(size, tf.constant(bucket, tf.int64)).numpy())


def _call(function: Any, *values: Any) -> Any:
    return tf.nest.flatten(function(*values))[0]


def find_batch_stage(dataset: Any) -> BatchStage | None:
    """Finds the last stage that makes batches, None if there is none that can be read."""
    for stage in walk(dataset):
        if kind_of(stage) in _BATCHES:
            try:
                return _read_batch_stage(stage)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                return None  # a release that names its parts otherwise
    return None


def _read_batch_stage(stage: Any) -> BatchStage | None:
    (source,) = inputs_of(stage)
    if kind_of(stage) == "GroupByWindow":
        return _read_grouped(stage, source)
    if kind_of(source) == "DenseToRagged":
        (source,) = inputs_of(source)
    padding = None
    if kind_of(stage) == "PaddedBatch":
        padding = tuple(value.numpy() for value in tf.nest.flatten(stage._padding_values))
    drops = bool(read_setting(stage, "drop_remainder"))
    return BatchStage(stage, source, drops, padding, int(read_setting(stage, "batch_size")))


def _read_grouped(stage: Any, source: Any) -> BatchStage | None:
    """Reads a stage of `group_by_window` whose windows become one batch each."""
    graph = stage._reduce_func.function.graph
    batches = [op for op in graph.get_operations() if op.type in _BATCH_OPS]
    if len(batches) != 1:
        return None
    (op,) = batches
    padding, drops = None, _read_constant(op.inputs[-1])
    if op.type == "PaddedBatchDatasetV2":
        count = (len(op.inputs) - 3) // 2
        padding = tuple(_read_constant(value) for value in op.inputs[2 + count : -1])
    elif op.type == "ParallelBatchDataset":
        drops = None if drops is None else _read_constant(op.inputs[3])
    is_dropping = None if drops is None else bool(drops)
    return BatchStage(stage, source, is_dropping, padding, None, find_boundaries(stage))


def find_boundaries(stage: Any) -> tuple[int, ...] | None:
    """Reads the boundaries of `bucket_by_sequence_length`, None where another key groups.

    Its key counts the boundaries below a length, by two constants: the boundaries after the least
    integer, and the boundaries before the greatest.
    """
    try:
        operations = stage._key_func.function.graph.get_operations()
    except AttributeError:
        return None
    constants = [tf.make_ndarray(op.get_attr("value")) for op in operations if op.type == "Const"]
    greatest = np.iinfo(np.int32).max
    ends = [c for c in constants if c.ndim == 1 and len(c) > 1 and c[-1] == greatest]
    return tuple(int(end) for end in ends[0][:-1]) if len(ends) == 1 else None


def _read_constant(tensor: Any) -> Any:
    """Returns the value of a constant of a graph, None where it is computed."""
    return (
        tf.make_ndarray(tensor.op.get_attr("value")).item() if tensor.op.type == "Const" else None
    )


@dataclasses.dataclass(frozen=True, slots=True)
class ShuffleStage:
    """A stage that shuffles.

    Attributes:
        buffer_size: elements that it draws from, None where it holds all of them.
        num_elements: elements that it is given, None where that is not told.
        has_batches: whether it shuffles batches, not sequences.
    """

    buffer_size: int | None
    num_elements: int | None
    has_batches: bool


def list_shuffles(
    dataset: Any, batch: BatchStage | None, num_sequences: int | None
) -> list[ShuffleStage]:
    """Lists the stages that shuffle, the last one first.

    Args:
        dataset: the whole of it.
        batch: its stage that makes batches, or None.
        num_sequences: sequences that this stage takes, or None.
    """
    found, has_batches = [], batch is not None
    count = num_sequences if batch is None else None
    for stage in walk(dataset):
        if kind_of(stage) == "Shuffle":
            size = read_setting(stage, "buffer_size")
            known = int(inputs_of(stage)[0].cardinality().numpy())
            found.append(
                ShuffleStage(
                    None if size is None or size < 0 else int(size),
                    known if known >= 0 else count,
                    has_batches,
                )
            )
        if batch is not None and stage is batch.output:
            has_batches, count = False, num_sequences
        elif kind_of(stage) not in _ONE_TO_ONE:
            count = None
    return found

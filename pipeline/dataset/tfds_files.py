"""`dataset_info.json` and `features.json`: TFDS's own files, written and read without TFDS.

`tfds.builder_from_directory` opens a directory with these two. TFDS would import every module that
`features.json` names; here this file is only accepted if it is the one that padless writes, so what
it names is never imported. `dataset_info.json` may hold more than padless writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.json_content import check_same, check_string
from padless.pipeline.dataset.names import META, shard_name

_CLASS = "pythonClassName"
_FEATURES_DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
_TENSOR = "tensorflow_datasets.core.features.tensor_feature.Tensor"
_TEXT = "tensorflow_datasets.core.features.text_feature.Text"
_DESCRIPTION = "Variable-length sequences, written by padless."


class SplitInfo(NamedTuple):
    """A split as `dataset_info.json` describes it.

    Attributes:
        shards: name of each shard's file -> its number of records.
        num_bytes: size of all of them.
    """

    shards: Mapping[str, int]
    num_bytes: int


class DatasetInfo(NamedTuple):
    """What `dataset_info.json` holds.

    Attributes:
        name: name of the dataset, as in the shards' names.
        splits: name -> its shards, in order.
    """

    name: str
    splits: Mapping[str, SplitInfo]


def format_info(info: DatasetInfo) -> dict[str, Any]:
    """Returns the content of `dataset_info.json`, the same as TFDS writes."""
    return {
        "description": _DESCRIPTION,
        "fileFormat": "tfrecord",
        "name": info.name,
        "splits": [_format_split(name, split) for name, split in info.splits.items()],
        "version": "1.0.0",
    }


def parse_info(content: Any) -> DatasetInfo:
    """Reads what `format_info` returned.

    The description may be another, and what else TFDS may add to the file is not looked at.

    Raises:
        LookupError, TypeError, ValueError: if it is anything else.
    """
    name = _check_name(content["name"])
    splits = {_check_name(split["name"]): _parse_split(name, split) for split in content["splits"]}
    info = DatasetInfo(name, splits)
    written = format_info(info)
    del written["description"]
    check_same(content, written, exact=False)
    return info


def format_features(contract: RecordContract) -> dict[str, Any]:
    """Returns the content of `features.json`, the same as TFDS writes for these features."""
    return _format_features(
        str(contract.num_features), has_label=contract.has_label, meta=contract.meta_columns
    )


def parse_features(content: Any) -> RecordContract:
    """Reads what `format_features` returned.

    Raises:
        ValueError: if it is anything else; names the first key that differs and its value.
    """
    features = _features_of(content)
    num_features = _count_features(features)
    shown = "<number of features>" if num_features is None else str(num_features)
    meta = tuple(map(check_string, _features_of(features.get(META))))
    check_same(content, _format_features(shown, has_label="label" in features, meta=meta))
    # What could not be counted differs from what is shown in its place.
    if not num_features or num_features < 1:
        raise ValueError(f"`sequence` must have at least 1 feature, got {num_features}.")
    return RecordContract(num_features, has_label="label" in features, meta_columns=meta)


def _features_of(content: Any) -> Mapping[str, Any]:
    """Returns the features of a file, or none where it has them in no place that is known."""
    try:
        features = content["featuresDict"]["features"]
    except (LookupError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _count_features(features: Mapping[str, Any]) -> int | None:
    """Returns the number of features of `sequence`, or None where it does not say one."""
    try:
        _, num_features = features["sequence"]["tensor"]["shape"]["dimensions"]
        return int(num_features)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _format_features(
    num_features: str, *, has_label: bool, meta: Sequence[str] = ()
) -> dict[str, Any]:
    text = {_CLASS: _TEXT, "text": {}}
    features = {
        "key": text,
        **({"label": text} if has_label else {}),
        "length": _format_tensor("int64", {}),
        **({META: _format_dict(dict.fromkeys(sorted(meta), text))} if meta else {}),
        "sequence": _format_tensor("float32", {"dimensions": ["-1", num_features]}),
    }
    return _format_dict(features)


def _format_dict(features: Mapping[str, Any]) -> dict[str, Any]:
    return {"featuresDict": {"features": features}, _CLASS: _FEATURES_DICT}


def _format_split(name: str, split: SplitInfo) -> dict[str, Any]:
    content = {
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "name": name,
        "numBytes": str(split.num_bytes),
        "shardLengths": [str(count) for count in split.shards.values()],
    }
    if not split.num_bytes:  # protocol buffers leave out a number that is 0
        del content["numBytes"]
    return content


def _check_name(value: Any) -> str:
    """Returns a name that may be part of a file's, and leads to no other directory."""
    if not re.fullmatch(r"[a-zA-Z]\w*", name := check_string(value), re.ASCII):
        raise ValueError(
            f"a name must consist of letters, digits and _ and begin with a letter, got {name!r}."
        )
    return name


def _parse_split(dataset: str, content: Any) -> SplitInfo:
    counts = [int(count) for count in content["shardLengths"]]
    names = [shard_name(dataset, content["name"], i, len(counts)) for i in range(len(counts))]
    return SplitInfo(dict(zip(names, counts, strict=True)), int(content.get("numBytes", 0)))


def _format_tensor(dtype: str, shape: Mapping[str, Any]) -> dict[str, Any]:
    return {_CLASS: _TENSOR, "tensor": {"dtype": dtype, "encoding": "none", "shape": shape}}

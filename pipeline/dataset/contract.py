"""The contract of a record: what its features must hold, checked on one record alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from padless.pipeline.dataset.names import FEATURES_FILE, meta_feature
from padless.pipeline.dataset.static_columns import read_static

_MAX_SHOWN_BYTES = 60

# Name -> values, as `padless.pipeline.dataset.records.decode_example` returns them.
Values = list[bytes] | np.ndarray
Features = Mapping[str, Values]


@dataclasses.dataclass(frozen=True, slots=True)
class RecordContract:
    """What every record of a dataset directory must hold.

    Features that are not named here may be there too: readers do not see them.

    Attributes:
        num_features: values per timestep.
        has_label: whether there is a label.
        masks_missing: whether a value may be NaN, which is a missing one.
        meta_columns: names of the columns that are carried into outputs.
        static_columns: those of them that hold a number, see `static_columns`.
    """

    num_features: int
    has_label: bool
    masks_missing: bool = False
    meta_columns: tuple[str, ...] = ()
    static_columns: tuple[str, ...] = ()

    def find_faults(self, features: Features) -> list[str]:
        """Lists the rules that a record breaks, with the values that break them."""
        return [
            *_check_text(features, "key"),
            *(_check_text(features, "label") if self.has_label else _check_absent(features)),
            *(
                part
                for name in dict.fromkeys((*self.meta_columns, *self.static_columns))
                for part in _check_text(features, meta_feature(name))
            ),
            *(
                part
                for name in self.static_columns
                for part in _check_number(features, meta_feature(name))
            ),
            *_check_length(features),
            *self._check_sequence(features),
        ]

    def _check_sequence(self, features: Features) -> Iterator[str]:
        values = _as_array(features.get("sequence"), np.float32)
        if values is None:
            shown = _describe(features.get("sequence"))
            yield f"`sequence` must be a list of floats, got {shown}."
            return
        allowed = ~np.isinf(values) if self.masks_missing else np.isfinite(values)
        if not allowed.all():
            timestep, feature = divmod(int(allowed.argmin()), self.num_features)
            value = values[timestep * self.num_features + feature]
            yield (
                "`sequence` must hold finite values, "
                f"got {value} in timestep {timestep}, feature {feature}."
            )
        yield from self._check_num_values(features.get("length"), len(values))

    def _check_num_values(self, length: Values | None, num_values: int) -> Iterator[str]:
        # A length that is not valid is reported already.
        lengths = _as_array(length, np.int64)
        if lengths is not None and len(lengths) == 1 and lengths[0] >= 1:
            expected = int(lengths[0]) * self.num_features
            if num_values != expected:
                yield (
                    f"`sequence` must hold `length` {lengths[0]} times {self.num_features} "
                    f"features = {expected} values, got {num_values}."
                )


def _check_text(features: Features, name: str) -> Iterator[str]:
    values = features.get(name)
    if not isinstance(values, list) or len(values) != 1:
        yield f"`{name}` must be one string, got {_describe(values)}."
    elif not values[0] and name == "key":
        yield "`key` must not be empty."
    elif not _is_utf8(values[0]):
        yield f"`{name}` must be UTF-8, got {values[0][:_MAX_SHOWN_BYTES]!r}."


def _check_number(features: Features, name: str) -> Iterator[str]:
    values = features.get(name)
    if not isinstance(values, list) or len(values) != 1:
        return  # which is reported already
    try:
        read_static(values[0])
    except ValueError as error:
        yield f"`{name}` {error}"


def _check_absent(features: Features) -> Iterator[str]:
    if "label" in features:
        shown = _describe(features["label"])
        yield f"`label` must not be there, as {FEATURES_FILE} has none, got {shown}."


def _check_length(features: Features) -> Iterator[str]:
    values = _as_array(features.get("length"), np.int64)
    if values is None or len(values) != 1:
        yield f"`length` must be one int64, got {_describe(features.get('length'))}."
    elif values[0] < 1:
        yield f"`length` must be at least 1, got {values[0]}."


def _as_array(values: Values | None, dtype: type) -> np.ndarray | None:
    """Returns the values if they are an array of the type, or None."""
    return values if isinstance(values, np.ndarray) and values.dtype == dtype else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _describe(values: Values | None) -> str:
    if values is None:
        return "none"
    kind = "bytes" if isinstance(values, list) else str(values.dtype)
    return f"{len(values)} of {kind}"

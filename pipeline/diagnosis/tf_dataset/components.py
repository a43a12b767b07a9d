"""The components of a dataset's elements: their names, and which of them is the sequence."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from padless.pipeline.diagnosis.part_names import is_length_name
from padless.pipeline.suggestions import did_you_mean
from padless.pipeline.wording import list_names


@dataclasses.dataclass(frozen=True, slots=True)
class Component:
    """One tensor of an element.

    Attributes:
        name: how it is reached, such as `"0"`, `"sequence"` or `"0.values"`; empty if the element
            is a tensor itself.
        index: its position among all components.
        shape: its static shape, None for a size that is not known; None if the rank is not.
        dtype: its type.
        is_ragged: whether it is a ragged tensor.
    """

    name: str
    index: int
    shape: tuple[int | None, ...] | None
    dtype: tf.DType
    is_ragged: bool = False

    @property
    def rank(self) -> int:
        """Number of dimensions, -1 if it is not known."""
        return -1 if self.shape is None else len(self.shape)

    def __str__(self) -> str:
        """Returns name, shape and type."""
        sizes = [] if self.shape is None else ["?" if n is None else str(n) for n in self.shape]
        shape = "(unknown)" if self.shape is None else f"({', '.join(sizes)})"
        ragged = "ragged " if self.is_ragged else ""
        return f"{self.name or 'element'} {ragged}{shape} {self.dtype.name}"


def list_components(element_spec: Any) -> list[Component]:
    """Lists the tensors of an element in the order in which `tf.nest.flatten` lists them."""
    specs = tf.nest.flatten(element_spec)
    names = list(_list_names(element_spec))
    if len(names) != len(specs):  # a structure of another kind, whose parts have no names here
        names = [str(index) for index in range(len(specs))]
    return [
        _describe(name, index, spec)
        for index, (name, spec) in enumerate(zip(names, specs, strict=True))
    ]


def _list_names(structure: Any, path: str = "") -> Any:
    if isinstance(structure, dict):
        parts = [(str(key), structure[key]) for key in sorted(structure)]
    elif isinstance(structure, tuple) and hasattr(structure, "_fields"):
        parts = list(zip(structure._fields, structure, strict=True))
    elif isinstance(structure, tuple | list):
        parts = [(str(index), part) for index, part in enumerate(structure)]
    else:
        yield path
        return
    for name, part in parts:
        yield from _list_names(part, f"{path}.{name}" if path else name)


def _describe(name: str, index: int, spec: Any) -> Component:
    if not isinstance(spec, tf.TensorSpec | tf.RaggedTensorSpec):
        return Component(name, index, None, getattr(spec, "dtype", tf.variant))
    shape = None if spec.shape.rank is None else tuple(spec.shape.as_list())
    is_ragged = isinstance(spec, tf.RaggedTensorSpec) and spec.ragged_rank > 0
    return Component(name, index, shape, spec.dtype, is_ragged)


def find_sequence(
    components: Sequence[Component], *, is_batched: bool, name: str | None = None
) -> Component | None:
    """Finds the component with the timesteps: values per timestep, or a size that varies.

    Args:
        components: of an element.
        is_batched: whether the first dimension is that of the sequences of a batch.
        name: of the component, or None to find it.

    Returns:
        The component, or None where nothing tells which one it is.

    Raises:
        ValueError: if there is none of that name.
    """
    if name is not None:
        return _find_named(components, name, least_rank=1 + is_batched)
    numbers = [c for c in components if c.dtype.is_floating or c.dtype.is_integer]
    full = [c for c in numbers if c.rank >= 2 + is_batched]
    varying = [c for c in numbers if c.rank == 1 + is_batched and c.shape[-1] is None]  # type: ignore[index]
    floats = [c for c in full if c.dtype.is_floating]
    return next(iter([*floats, *varying, *full]), None)


def _find_named(components: Sequence[Component], name: str, *, least_rank: int) -> Component:
    known = {c.name: c for c in components if c.name}
    if name not in known:
        raise ValueError(
            f"`sequence` must be one of the components {list_names(sorted(known))}, got {name!r}."
            f"{did_you_mean(name, known)}"
        )
    if 0 <= known[name].rank < least_rank:
        raise ValueError(f"`sequence` must have a dimension of timesteps, got {known[name]}.")
    return known[name]


def find_length(components: Sequence[Component], name: str | None = None) -> Component | None:
    """Finds the component with the number of timesteps of each sequence, by its name.

    Args:
        components: of a batch.
        name: of the component, or None to find it.

    Raises:
        ValueError: if there is none of that name, or it has not one number for each sequence.
    """
    if name is None:
        return next((c for c in components if _is_length(c)), None)
    known = {c.name: c for c in components if c.name}
    if name not in known:
        raise ValueError(
            f"`length` must be one of the components {list_names(sorted(known))}, got {name!r}."
            f"{did_you_mean(name, known)}"
        )
    if known[name].rank not in (-1, 0, 1) or not known[name].dtype.is_integer:
        raise ValueError(f"`length` must be one integer for each sequence, got {known[name]}.")
    return known[name]


def _is_length(component: Component) -> bool:
    last = component.name.rpartition(".")[2]
    is_number = component.dtype.is_integer and component.rank in (0, 1)
    return is_number and is_length_name(last)

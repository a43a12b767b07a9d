"""An ONNX graph under construction, and tensors in it that are computed with as NumPy's are.

`onnx.helper` makes nodes of names. Here a `Tensor` knows its graph and its dtype, so that
`(values - mean) / deviation` adds a node for each operation.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Of 2022: older runtimes read it too. It has all operations that are needed here.
OPSET = 17
# The version of the file format that came with it.
_IR_VERSION = 8

Operand: TypeAlias = "Tensor | np.ndarray | float"
"""What a tensor is computed with. Numbers get its dtype."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """A value in a graph.

    Attributes:
        graph: the graph that it is in.
        name: its name there.
        dtype: its dtype.
    """

    graph: Graph
    name: str
    dtype: np.dtype

    def __add__(self, other: Operand) -> Tensor:
        return self._with("Add", other)

    def __sub__(self, other: Operand) -> Tensor:
        return self._with("Sub", other)

    def __mul__(self, other: Operand) -> Tensor:
        return self._with("Mul", other)

    def __truediv__(self, other: Operand) -> Tensor:
        return self._with("Div", other)

    def __floordiv__(self, other: Operand) -> Tensor:
        """Divides integers that are not negative: `Div` cuts towards 0."""
        return self._with("Div", other)

    def __matmul__(self, other: Operand) -> Tensor:
        return self._with("MatMul", other)

    def __and__(self, other: Operand) -> Tensor:
        return self._with("And", other)

    def __invert__(self) -> Tensor:
        return self.graph.add("Not", self)

    def __lt__(self, other: Tensor | float) -> Tensor:
        return self._with("Less", other, bool)

    def __ge__(self, other: Tensor | float) -> Tensor:
        return self._with("GreaterOrEqual", other, bool)

    def __gt__(self, other: Tensor | float) -> Tensor:
        return self._with("Greater", other, bool)

    def equals(self, other: Operand) -> Tensor:
        """Compares element by element."""
        return self._with("Equal", other, bool)

    def square(self) -> Tensor:
        """Multiplies each element with itself."""
        return self * self

    def apply(self, operation: str) -> Tensor:
        """Applies an operation of one input and the same dtype, such as `Log`."""
        return self.graph.add(operation, self)

    def at_most(self, other: Operand) -> Tensor:
        """Returns the smaller of each pair of elements."""
        return self._with("Min", other)

    def at_least(self, other: Operand) -> Tensor:
        """Returns the larger of each pair of elements."""
        return self._with("Max", other)

    def cast(self, dtype: Any) -> Tensor:
        """Converts the elements."""
        dtype = np.dtype(dtype)
        return self.graph.add("Cast", self, to=_code(dtype), dtype=dtype)

    def sum(self, axis: int) -> Tensor:
        """Adds up along an axis, which is gone then."""
        return self.graph.add("ReduceSum", self, np.array([axis]), keepdims=0)

    def mean(self, axis: int) -> Tensor:
        """Computes the mean along an axis, which is gone then."""
        return self.graph.add("ReduceMean", self, axes=[axis], keepdims=0)

    def max(self, axis: int) -> Tensor:
        """Returns the maximum along an axis, which is gone then."""
        return self.graph.add("ReduceMax", self, axes=[axis], keepdims=0)

    def expand_dims(self, *axes: int) -> Tensor:
        """Inserts axes of size 1, at these places of the result."""
        return self.graph.add("Unsqueeze", self, np.array(axes))

    def squeeze(self, axis: int) -> Tensor:
        """Removes an axis of size 1."""
        return self.graph.add("Squeeze", self, np.array([axis]))

    def transpose(self, *order: int) -> Tensor:
        """Permutes the axes."""
        return self.graph.add("Transpose", self, perm=order)

    def reshape(self, *shape: int) -> Tensor:
        """Reshapes; 0 is the size that the axis has, -1 what is left."""
        return self.graph.add("Reshape", self, np.array(shape))

    def broadcast(self, *shape: Tensor | int) -> Tensor:
        """Repeats along axes of size 1; a size in the shape of 1 leaves the axis as it is."""
        graph = self.graph
        return graph.add("Expand", self, graph.concat([_as_vector(size) for size in shape], 0))

    def slice(self, start: Tensor | int, stop: Tensor | int, axis: int) -> Tensor:
        """Takes a range along an axis."""
        ends = _as_vector(start), _as_vector(stop)
        return self.graph.add("Slice", self, *ends, np.array([axis]))

    def size(self, axis: int) -> Tensor:
        """Returns the size of an axis, `()` int64."""
        shape = self.graph.add("Shape", self, start=axis, end=axis + 1, dtype=np.int64)
        return shape.squeeze(0)

    def split(self, sizes: Sequence[int], axis: int) -> tuple[Tensor, ...]:
        """Cuts along an axis into pieces of these sizes."""
        return self.graph.add_several(len(sizes), "Split", self, np.array(sizes), axis=axis)

    def _with(self, operation: str, other: Operand, dtype: Any = None) -> Tensor:
        return self.graph.add(operation, self, _as_array(other, self.dtype), dtype=dtype)


class Graph:
    """Collects nodes and constants.

    Args:
        outer: the graph that this one is the body of a node of; it may use its tensors.
    """

    def __init__(self, outer: Graph | None = None):
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._numbers: Iterator[int] = itertools.count() if outer is None else outer._numbers

    def input(self, name: str, dtype: Any, shape: Sequence[int | str], meaning: str = "") -> Tensor:
        """Adds an input.

        Args:
            name: its name.
            dtype: its dtype.
            shape: a size, or the name of one that is known at run time, for each axis.
            meaning: what it is, for readers of the model.
        """
        dtype = np.dtype(dtype)
        info = helper.make_tensor_value_info(name, _code(dtype), shape, doc_string=meaning)
        self._inputs.append(info)
        return Tensor(self, name, dtype)

    def output(
        self, name: str, tensor: Tensor, shape: Sequence[int | str], meaning: str = ""
    ) -> None:
        """Makes a tensor an output, by a name of its own; arguments as of `input`."""
        self._nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        code = _code(tensor.dtype)
        info = helper.make_tensor_value_info(name, code, shape, doc_string=meaning)
        self._outputs.append(info)

    def constant(self, values: np.ndarray) -> Tensor:
        """Adds a constant."""
        name = self._name("constant")
        self._constants.append(numpy_helper.from_array(values, name))
        return Tensor(self, name, values.dtype)

    def add(
        self, operation: str, *inputs: Tensor | np.ndarray | None, dtype: Any = None, **options: Any
    ) -> Tensor:
        """Adds a node with one output.

        Args:
            operation: name of the operation.
            inputs: what it takes; None for one that is left out.
            dtype: of the output; that of the first input if None.
            options: attributes of the node.
        """
        (output,) = self.add_several(1, operation, *inputs, dtype=dtype, **options)
        return output

    def add_several(
        self,
        count: int,
        operation: str,
        *inputs: Tensor | np.ndarray | None,
        dtype: Any = None,
        **options: Any,
    ) -> tuple[Tensor, ...]:
        """Adds a node with several outputs of one dtype; otherwise as `add`."""
        tensors = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        if dtype is None:
            dtype = next(tensor.dtype for tensor in tensors if tensor is not None)
        names = [self._name(operation) for _ in range(count)]
        given = ["" if tensor is None else tensor.name for tensor in tensors]
        self._nodes.append(helper.make_node(operation, given, names, **options))
        return tuple(Tensor(self, name, np.dtype(dtype)) for name in names)

    def concat(self, parts: Sequence[Tensor | np.ndarray], axis: int) -> Tensor:
        """Joins tensors along an axis."""
        return self.add("Concat", *parts, axis=axis)

    def where(self, condition: Tensor, values: Operand, others: Operand) -> Tensor:
        """Takes elements of `values` where the condition holds, and else of `others`."""
        dtype = next(v.dtype for v in (values, others) if isinstance(v, Tensor))
        chosen = (_as_array(v, dtype) for v in (values, others))
        return self.add("Where", condition, *chosen, dtype=dtype)

    def count_up(self, stop: Tensor) -> Tensor:
        """Returns 0, 1, 2, ... before `stop`, `(stop,)` int64."""
        return self.add("Range", np.array(0), stop, np.array(1))

    def as_body(self, name: str) -> onnx.GraphProto:
        """Returns the graph."""
        return helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=self._constants
        )

    def as_model(self, name: str, **options: Any) -> onnx.ModelProto:
        """Returns the graph as a model; the options are fields of it."""
        opset = [helper.make_opsetid("", OPSET)]
        body = self.as_body(name)
        return helper.make_model(body, opset_imports=opset, ir_version=_IR_VERSION, **options)

    def _name(self, kind: str) -> str:
        return f"{kind.lower()}_{next(self._numbers)}"


def _code(dtype: np.dtype) -> int:
    return helper.np_dtype_to_tensor_dtype(dtype)


def _as_array(value: Operand, dtype: np.dtype) -> Tensor | np.ndarray:
    return value if isinstance(value, Tensor | np.ndarray) else np.array(value, dtype)


def _as_vector(size: Tensor | int) -> Tensor | np.ndarray:
    """Returns a size or a place as `(1,)` int64."""
    return size.reshape(1) if isinstance(size, Tensor) else np.array([size])

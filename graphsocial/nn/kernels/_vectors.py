"""Rows as vector registers: the innermost loops over edges, as LLVM code.

A loop over a slice makes numba check, for each edge, bounds and whether the slices overlap, and load and store the sum
of the row. Here a block of `BLOCK` columns of that sum stays in registers over all of the row's edges. The numbers are
those of the plain loops.

numba's cache of compiled kernels looks at the kernel's own file only: whoever edits this one empties `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

BLOCK = 64  # columns: 4 registers of 512 bits for float32
AHEAD = 16  # edges; between 8 and 32 makes no difference that could be measured
LINE = 64  # bytes of a cache line, and of a vector here

_BYTE, _NUMBER = ir.IntType(8).as_pointer(), ir.IntType(32)
_FAST = ("contract", "reassoc", "nsz")


def _inlined(function: Callable[..., Any]) -> Any:
    """Make a function that writes LLVM code callable in kernels; its first argument is numba's own."""
    return intrinsic(function)


class _Rows:
    """An array's memory while code for it is generated: (N, H) by row and column, or (E,) by position."""

    def __init__(self, context: Any, builder: Any, kind: Any, value: Any) -> None:
        array = arrayobj.make_array(kind)(context, builder, value)  # type: ignore[no-untyped-call]
        self.builder, self.number = builder, context.get_value_type(kind.dtype)
        self.start = builder.bitcast(array.data, _BYTE)
        self.steps = cgutils.unpack_tuple(builder, array.strides)  # type: ignore[no-untyped-call]
        self.bytes = int(kind.dtype.bitwidth) // 8
        self.lanes = LINE // self.bytes

    def address(self, row: Any, column: Any = None) -> Any:
        """The address of a number."""
        offset = self.builder.mul(row, self.steps[0])
        if column is not None:
            offset = self.builder.add(offset, self.builder.mul(column, self.steps[-1]))
        return self.builder.gep(self.start, [offset])

    def pointer(self, row: Any) -> Any:
        """A pointer to the first number of a row."""
        return self.builder.bitcast(self.address(row), self.number.as_pointer())

    def block(self, row: Any, column: Any) -> list[Any]:
        """Pointers to the vectors of a block of columns."""
        start, kind = self.address(row, column), ir.VectorType(self.number, self.lanes).as_pointer()
        steps = (ir.Constant(ir.IntType(64), LINE * step) for step in range(BLOCK // self.lanes))
        return [self.builder.bitcast(self.builder.gep(start, [step]), kind) for step in steps]

    def load(self, row: Any, column: Any) -> list[Any]:
        """The vectors of a block of columns."""
        return [self.builder.load(pointer, align=self.bytes) for pointer in self.block(row, column)]

    def spread(self, value: Any) -> Any:
        """A vector with this number in all lanes."""
        kind, first = ir.VectorType(self.number, self.lanes), ir.VectorType(_NUMBER, self.lanes)
        none = ir.Constant(kind, ir.Undefined)
        single = self.builder.insert_element(none, value, _NUMBER(0))
        return self.builder.shuffle_vector(single, none, ir.Constant(first, [0] * self.lanes))

    def fetch(self, row: Any, column: Any, lines: int) -> None:
        """Ask for cache lines from a number on."""
        shape = ir.FunctionType(ir.VoidType(), [_BYTE, _NUMBER, _NUMBER, _NUMBER])
        prefetch = self.builder.module.declare_intrinsic("llvm.prefetch", [_BYTE], shape)
        start = self.address(row, column)
        for line in range(lines):
            address = self.builder.gep(start, [ir.Constant(ir.IntType(64), LINE * line)])
            self.builder.call(prefetch, [address, _NUMBER(0), _NUMBER(3), _NUMBER(1)])  # to read, keep it, data


def _arguments(context: Any, builder: Any, signature: Any, values: Sequence[Any]) -> list[Any]:
    """Arrays as `_Rows`, whole numbers as 64 bits."""
    return [
        _Rows(context, builder, kind, value)
        if isinstance(kind, types.Array)
        else context.cast(builder, value, kind, types.intp)
        for kind, value in zip(signature.args, values, strict=True)
    ]


def _whole(context: Any, builder: Any, rows: _Rows, k: Any) -> Any:
    """The node number at a position of an index array, as 64 bits."""
    number = builder.load(rows.pointer(k))
    return number if number.type == k.type else builder.sext(number, k.type)


def prefetch(lines: int) -> Any:
    """A function for kernels that asks for `lines` cache lines of `rows[index]`, from a column on."""

    @_inlined
    def fetch(typing: Any, rows: Any, index: Any, column: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            array, row, first = _arguments(context, builder, signature, values)
            array.fetch(row, first, lines)
            return context.get_dummy_value()

        return types.void(rows, index, column), generate

    return fetch


@_inlined
def add_block(
    typing: Any,
    out: Any,
    i: Any,
    column: Any,
    x: Any,
    x_column: Any,
    index: Any,
    weights: Any,
    first: Any,
    end: Any,
    last: Any,
) -> Any:
    """out[i, c : c + BLOCK] += Σ_k weights[k] x[index[k], d : d + BLOCK] over first ≤ k < end.

    Rows of edges before `last` are fetched ahead.

    Args:
        typing: numba's typing context.
        out: (num_dst, ≥ H), updated.
        i: row of `out`.
        column: c, first column of the block in `out`.
        x: (num_src, H).
        x_column: d, first column of the block in `x`.
        index: (E,) rows of `x`.
        weights: (E,).
        first: first edge.
        end: end of the edges.
        last: end of the edges to fetch ahead.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        out, i, column, x, x_column, index, weights, first, end, last = _arguments(context, builder, signature, values)
        sums = [cgutils.alloca_once_value(builder, part) for part in out.load(i, column)]  # type: ignore[no-untyped-call]
        with cgutils.for_range_slice(builder, first, end, first.type(1), inc=True) as (k, _):
            ahead = builder.add(k, k.type(AHEAD))
            with builder.if_then(builder.icmp_signed("<", ahead, last)):
                x.fetch(_whole(context, builder, index, ahead), x_column, BLOCK // x.lanes)
            weight = x.spread(builder.load(weights.pointer(k)))
            for total, part in zip(sums, x.load(_whole(context, builder, index, k), x_column), strict=True):
                _add_product(builder, total, weight, part)
        for pointer, total in zip(out.block(i, column), sums, strict=True):
            builder.store(builder.load(total), pointer, align=out.bytes)
        return context.get_dummy_value()

    return types.void(out, i, column, x, x_column, index, weights, first, end, last), generate


@_inlined
def add_block_back(
    typing: Any,
    d_x: Any,
    d_weights: Any,
    j: Any,
    x: Any,
    x_column: Any,
    grad: Any,
    column: Any,
    index: Any,
    order: Any,
    weights: Any,
    first: Any,
    end: Any,
    last: Any,
) -> Any:
    """With g_k = grad[index[k], c : c + BLOCK] and x_j = x[j, d : d + BLOCK], over first ≤ k < end:

    d_x[j, d : d + BLOCK] += Σ_k weights[order[k]] g_k and d_weights[order[k]] += g_k · x_j, = for += where d is 0.

    Args:
        typing: numba's typing context.
        d_x: (num_src, H), updated.
        d_weights: (E,), updated.
        j: row of `x` and `d_x`.
        x: (num_src, H).
        x_column: d, first column of the block in `x`.
        grad: (num_dst, ≥ H).
        column: c, first column of the block in `grad`.
        index: (E,) rows of `grad`.
        order: (E,) positions in `weights` and `d_weights`.
        weights: (E,).
        first: first edge.
        end: end of the edges.
        last: end of the edges to fetch ahead.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arguments = _arguments(context, builder, signature, values)
        d_x, d_weights, j, x, x_column, grad, column, index, order, weights, first, end, last = arguments
        x_parts = x.load(j, x_column)
        initial = builder.icmp_signed("==", x_column, x_column.type(0))
        sums = [cgutils.alloca_once_value(builder, part) for part in d_x.load(j, x_column)]  # type: ignore[no-untyped-call]
        kind = x_parts[0].type
        reduce = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(x.number, [x.number, kind]),
            f"llvm.vector.reduce.fadd.v{x.lanes}{x.number.intrinsic_name}",
        )
        with cgutils.for_range_slice(builder, first, end, first.type(1), inc=True) as (k, _):
            ahead = builder.add(k, k.type(AHEAD))
            with builder.if_then(builder.icmp_signed("<", ahead, last)):
                grad.fetch(_whole(context, builder, index, ahead), column, BLOCK // x.lanes)
                edge = _whole(context, builder, order, ahead)
                weights.fetch(edge, None, 1)
                d_weights.fetch(edge, None, 1)
            edge = _whole(context, builder, order, k)
            weight = x.spread(builder.load(weights.pointer(edge)))
            dot = cgutils.alloca_once_value(builder, ir.Constant(kind, None))  # type: ignore[no-untyped-call]
            builder.store(ir.Constant(kind, None), dot)
            for total, x_part, part in zip(
                sums, x_parts, grad.load(_whole(context, builder, index, k), column), strict=True
            ):
                _add_product(builder, dot, x_part, part)
                _add_product(builder, total, weight, part)
            pointer = d_weights.pointer(edge)
            before = builder.select(initial, ir.Constant(x.number, 0.0), builder.load(pointer))
            builder.store(builder.call(reduce, [before, builder.load(dot)], fastmath=_FAST), pointer)
        for pointer, total in zip(d_x.block(j, x_column), sums, strict=True):
            builder.store(builder.load(total), pointer, align=d_x.bytes)
        return context.get_dummy_value()

    return types.void(d_x, d_weights, j, x, x_column, grad, column, index, order, weights, first, end, last), generate


def _add_product(builder: Any, total: Any, left: Any, right: Any) -> None:
    """Add left · right to the vector in memory at `total`."""
    product = builder.fmul(left, right, flags=_FAST)
    builder.store(builder.fadd(builder.load(total), product, flags=_FAST), total)

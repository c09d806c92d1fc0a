"""The innermost tile of a network kernel: a few cells by a few vectors of trajectories that never leave the registers.

                      trajectories (lanes)
                   vector 0     vector 1
                 +------------+------------+
        cell 0   |  a[0, 0]   |  a[0, 1]   |      a[q, v] = gain field[q, v] + sum_k weights[k, q] x[neighbours[k], v]
        cell 1   |  a[1, 0]   |  a[1, 1]   |
        cell 2   |  a[2, 0]   |  a[2, 1]   |      `advance` turns these fields into the next step of the cells, noise
        cell 3   |  a[3, 0]   |  a[3, 1]   |      included, and stores that.
                 +------------+------------+

As in a kernel of matrix products, a neighbour is loaded once for all cells of a tile and a weight once for all its
vectors, so the multipliers of the machine set the pace, not its memory. LLVM does not find that in a loop; hence this
module, the only one that emits instructions itself. Where a machine has fused multiply-add, results do not depend on
the width of its vectors.
"""

from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from twin.kernels.jit import LANES
from twin.kernels.philox import COMMON_SYMBOL, RARE_SYMBOL

(DRIFT, FORCE_1, FORCE_2, FORCE_3, SLOPE_0, SLOPE_1, SLOPE_2, STEP, NOISE, COEFFICIENTS) = range(10)
"""Coefficients of a cell for a step h: its own force DRIFT - FORCE_1 x - FORCE_2 x^2 - FORCE_3 x^3; the divisor
1 + (h/2) P'(x) = SLOPE_0 + SLOPE_1 x + SLOPE_2 x^2 of an implicit step; h; and the standard deviation of its noise."""


class Euler(NamedTuple):
    """The Euler-Maruyama step x + h f + noise."""

    in_place: bool = False  # all cells move from where all were


class Implicit(NamedTuple):
    """The linearly implicit step; a divisor below 1, 1 - s, turns into the factor 1 + s."""

    in_place: bool = True


class ConvexImplicit(NamedTuple):
    """The linearly implicit step of cells whose divisor is nowhere below 1: the same numbers, fewer instructions."""

    in_place: bool = True


class Signs(NamedTuple):
    """Noise +-1 (Rademacher) from one bit."""

    per_word: int = 32  # draws in a word, a power of two
    normal: bool = False  # whether it is drawn from the normal law


class Symbols(NamedTuple):
    """Noise from four bits, with the first five moments of a normal variate."""

    per_word: int = 8
    normal: bool = False


class Variates(NamedTuple):
    """Noise drawn before: a word holds the bits of a number in single precision."""

    per_word: int = 1
    normal: bool = True  # else the number of bits set in a word, scaled


class Links(NamedTuple):
    """What the cells of one tile, those in rows ``row`` onwards, are coupled to."""

    neighbours: Any  # (m,) rows, those from ``begin`` to ``end`` being neighbours of this tile
    weights: Any  # float32: from ``weight`` onwards, one for each neighbour and cell, cells next to each other
    row: int
    begin: int
    end: int
    weight: int


def _vector_shapes(features: str) -> tuple[int, int, int]:
    """Return the lanes of a vector, and the vectors of a tile of four cells and of one cell that the registers hold."""
    names = set(features.split(","))
    if "+avx512f" in names:
        return 16, 4, 4
    if "+avx" in names:
        return 8, 2, 8
    return 4, 2, 8


_features = config.CPU_FEATURES  # type: ignore[attr-defined]
_LANES, _FEW, _MANY = _vector_shapes(get_host_cpu_features() if _features is None else _features)
FOUR_CELLS, ONE_CELL = (4, _FEW, _LANES), (1, _MANY, _LANES)
"""Tiles for this machine: cells, vectors, lanes of a vector."""
FOUR_CELLS_LANES, ONE_CELL_LANES = _FEW * _LANES, _MANY * _LANES
"""Trajectories in them."""


class Vector:
    """A vector in a register, of floats or of 32-bit words; an operation on it emits an instruction."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _new(self, value: Any) -> "Vector":
        return Vector(self.builder, value)

    def constant(self, number: float) -> "Vector":
        """Return a number in every lane."""
        return self._new(ir.Constant(self.value.type, [number] * self.value.type.count))

    def __add__(self, other: "Vector") -> "Vector":
        return self._new(self.builder.fadd(self.value, other.value))

    def __sub__(self, other: "Vector") -> "Vector":
        return self._new(self.builder.fsub(self.value, other.value))

    def __mul__(self, other: "Vector") -> "Vector":
        return self._new(self.builder.fmul(self.value, other.value))

    def __truediv__(self, other: "Vector") -> "Vector":
        return self._new(self.builder.fdiv(self.value, other.value))

    def __neg__(self) -> "Vector":
        return self._new(self.builder.fneg(self.value))

    def times_plus(self, factor: "Vector", summand: "Vector") -> "Vector":
        """Return self factor + summand, rounded once where the machine can do that."""
        kind = self.value.type
        name = f"llvm.fmuladd.v{kind.count}f32"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return self._new(self.builder.call(function, [self.value, factor.value, summand.value]))

    def at_least(self, other: "Vector") -> "Vector":
        """Return the larger of two in every lane."""
        above = self.builder.fcmp_ordered(">", self.value, other.value)
        return self._new(self.builder.select(above, self.value, other.value))

    def at_most(self, other: "Vector") -> "Vector":
        """Return the smaller of two in every lane."""
        below = self.builder.fcmp_ordered("<", self.value, other.value)
        return self._new(self.builder.select(below, self.value, other.value))

    def __lshift__(self, other: "Vector") -> "Vector":
        return self._new(self.builder.shl(self.value, other.value))

    def __and__(self, mask: int) -> "Vector":
        return self._new(self.builder.and_(self.value, self.constant(mask).value))

    def as_floats(self) -> "Vector":
        """Return the bits of words as floats."""
        return self._new(self.builder.bitcast(self.value, ir.VectorType(ir.FloatType(), self.value.type.count)))

    def if_zero(self, yes: "Vector", no: "Vector") -> "Vector":
        """Return one vector where a word is 0, else the other."""
        zero = self.builder.icmp_unsigned("==", self.value, self.constant(0).value)
        return self._new(self.builder.select(zero, yes.value, no.value))

    def with_sign_of(self, words: "Vector") -> "Vector":
        """Return a vector of floats that change sign where the first bit of a word is set."""
        sign = (words & 0x80000000).value
        return self._new(self.builder.xor(self.builder.bitcast(self.value, sign.type), sign)).as_floats()


Grid = dict[tuple[int, int], Vector]
"""A vector for each cell and vector of a tile."""


class Emitter:
    """Emits what one tile does."""

    def __init__(self, context: Any, builder: Any, shape: Any, links_kind: Any, links: Any, lane: Any) -> None:
        self.context, self.builder, self.lane = context, builder, lane
        self.cells, self.vectors, self.lanes = (length.literal_value for length in shape)
        self.places = [(q, v) for q in range(self.cells) for v in range(self.vectors)]
        neighbours, weights, self.row, self.begin, self.end, self.weight = cgutils.unpack_tuple(builder, links)
        self.neighbours, self.weights = self.data(links_kind[0], neighbours), self.data(links_kind[1], weights)

    def data(self, kind: Any, array: Any) -> Any:
        """Return the pointer to the data of an array."""
        return self.context.make_array(kind)(self.context, self.builder, array).data

    def _index(self, number: int) -> Any:
        return self.context.get_constant(types.intp, number)

    def _sum(self, index: Any, stride: int, offset: int = 0) -> Any:
        """Return index stride + offset."""
        return self.builder.add(self.builder.mul(index, self._index(stride)), self._index(offset))

    def _pointer(self, data: Any, row: Any, q: int, v: int) -> Any:
        """Return where cell q and vector v of the tile begin in numbers (n, LANES), counted from a row."""
        place = self.builder.add(self._sum(row, LANES, q * LANES + v * self.lanes), self.lane)
        kind = ir.VectorType(data.type.pointee, self.lanes)
        return self.builder.bitcast(self.builder.gep(data, [place]), kind.as_pointer())

    def load(self, data: Any, q: int, v: int, row: Any = None) -> Vector:
        """Return vector v of cell q of the tile, or of a row of (n, LANES) numbers and those after it."""
        pointer = self._pointer(data, self.row if row is None else row, q, v)
        return Vector(self.builder, self.builder.load(pointer, align=4 * self.lanes))

    def store(self, vector: Vector, data: Any, q: int, v: int) -> None:
        """Store vector v of cell q of the tile."""
        self.builder.store(vector.value, self._pointer(data, self.row, q, v), align=4 * self.lanes)

    def spread(self, scalar: Any) -> Vector:
        """Return a scalar in every lane."""
        nothing = ir.Constant(ir.VectorType(scalar.type, self.lanes), ir.Undefined)
        first = self.builder.insert_element(nothing, scalar, ir.IntType(32)(0))
        order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return Vector(self.builder, self.builder.shuffle_vector(first, nothing, order))

    def spread_item(self, data: Any, place: Any) -> Vector:
        """Return one number of an array in every lane."""
        return self.spread(self.builder.load(self.builder.gep(data, [place])))

    def coefficient(self, data: Any, q: int, k: int) -> Vector:
        """Return coefficient k of cell q in every lane."""
        return self.spread_item(data, self._sum(self.row, COEFFICIENTS, q * COEFFICIENTS + k))

    def add_couplings(self, fields: Grid, x: Any) -> Grid:
        """Return the fields plus what the neighbours exert."""
        builder = self.builder
        sums = {place: cgutils.alloca_once_value(builder, field.value) for place, field in fields.items()}
        with cgutils.for_range(builder, builder.sub(self.end, self.begin)) as loop:
            neighbour = builder.load(builder.gep(self.neighbours, [builder.add(self.begin, loop.index)]))
            values = [self.load(x, 0, v, neighbour) for v in range(self.vectors)]
            weight = builder.add(self.weight, self._sum(loop.index, self.cells))
            weights = [self.spread_item(self.weights, builder.add(weight, self._index(q))) for q in range(self.cells)]
            for q, v in self.places:
                before = Vector(builder, builder.load(sums[q, v]))
                builder.store(weights[q].times_plus(values[v], before).value, sums[q, v])
        return {place: Vector(builder, builder.load(total)) for place, total in sums.items()}

    def noise(self, kind: Any, data: Any, position: Any, deviation: Vector, q: int, v: int) -> Vector:
        """Return noise of a kind and a standard deviation."""
        drawn = self.load(data, q, v)
        if kind is Variates:
            return deviation * drawn.as_floats()
        shift = position
        if kind is Symbols:
            shift = self.builder.sub(self._index(28), self.builder.mul(position, self._index(4)))
        words = drawn << self.spread(self.builder.trunc(shift, ir.IntType(32)))
        if kind is Symbols:
            rare, common = deviation.constant(RARE_SYMBOL), deviation.constant(COMMON_SYMBOL)
            deviation = deviation * (words & 0x70000000).if_zero(rare, common)
        return deviation.with_sign_of(words)


def _step(scheme: Any, x: Vector, field: Vector, noise: Vector, c: list[Vector]) -> Vector:
    """Return where a cell is after a step in a field."""
    pull = x.times_plus(x.times_plus(c[FORCE_3], c[FORCE_2]), c[FORCE_1])
    move = c[STEP].times_plus((-x).times_plus(pull, field), noise)
    if scheme is Euler:
        return x + move
    divisor = x.times_plus(x.times_plus(c[SLOPE_2], c[SLOPE_1]), c[SLOPE_0])
    if scheme is ConvexImplicit:
        return x + move / divisor
    one, two = x.constant(1.0), x.constant(2.0)
    return x + move * (two - divisor).at_least(one) / divisor.at_least(one)


@intrinsic(prefer_literal=True)
def advance(_typing_context, shape, scheme, kind, links, lane, gain, field, coefficients, noise, position, rail, x, y):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """Advance a tile, whose first trajectory is ``lane``, by one step from ``x`` to ``y``.

    Parameters
    ----------
    shape
        FOUR_CELLS or ONE_CELL.
    scheme
        Euler(), Implicit() or ConvexImplicit().
    kind
        Signs(), Symbols() or Variates(): what the noise is made of.
    links
        A `Links`.
    gain, field
        Fraction of the applied fields, and these: (n, LANES) float32.
    coefficients
        (n, COEFFICIENTS) float32.
    noise, position
        (n, LANES) uint32 words in use, and which of their draws to take; the bits of the numbers if these are Variates.
    rail
        Cells are clipped at +-rail.
    x, y
        (n, LANES) float32; they may be the same where no cells of a tile are coupled to each other. All these arrays
        start on cache lines.
    """

    def codegen(context, builder, _signature, arguments):  # type: ignore[no-untyped-def]
        _, _, _, links_value, lane, gain, applied, c, drawn, position, rail, before, after = arguments
        emit = Emitter(context, builder, shape, links, links_value, lane)
        applied, c, drawn = emit.data(field, applied), emit.data(coefficients, c), emit.data(noise, drawn)
        before, after = emit.data(x, before), emit.data(y, after)
        settled, rail = emit.spread(gain), emit.spread(rail)
        fields = {
            (q, v): settled.times_plus(emit.load(applied, q, v), emit.coefficient(c, q, DRIFT)) for q, v in emit.places
        }
        fields = emit.add_couplings(fields, before)
        for q in range(emit.cells):
            own = [emit.coefficient(c, q, k) for k in range(COEFFICIENTS)]
            for v in range(emit.vectors):
                random = emit.noise(kind.instance_class, drawn, position, own[NOISE], q, v)
                there = _step(scheme.instance_class, emit.load(before, q, v), fields[q, v], random, own)
                emit.store(there.at_least(-rail).at_most(rail), after, q, v)
        return context.get_dummy_value()

    arrays = field, coefficients, noise, types.intp, types.float32, x, y
    return types.void(shape, scheme, kind, links, lane, types.float32, *arrays), codegen

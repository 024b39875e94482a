"""Short-time spectra and filter banks, compiled by numba: several frames at once, one in each lane of a vector.

Frames are transposed in blocks, so that neighbouring numbers are the same sample of successive frames. The steps of a
transform are then the same instruction for all lanes, and what a handful of frames needs stays in the cache. Importing
this takes a second, and compiling it five, so only long extractions do (:mod:`~genre_pipeline.stores.extraction`).
"""

# numba passes arguments of functions that generate code as types first, as values later.
# ruff: noqa: ARG001

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

# AVX2's registers. [?] Longer vectors, on processors that have them, need more of the cache.
_VECTOR_BYTES = 32
# Bins of a filter that are multiplied before their sum is stored.
_N_STEP = 4
# Those of the single-precision number sqrt(0.5).
_SQRT_HALF_BITS = 0x3F3504F3
# Of single precision.
_MAX_LANES = _VECTOR_BYTES // 4


class _Vector:
    """A vector of the generated code; operators append instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def __add__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fadd(self.value, other.value, flags=("contract",)))

    def __sub__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fsub(self.value, other.value, flags=("contract",)))

    def __mul__(self, other: _Vector) -> _Vector:
        return _Vector(self.builder, self.builder.fmul(self.value, other.value, flags=("contract",)))

    def blended(self, other: _Vector, lanes: list[int]) -> _Vector:
        """Choose lanes of this vector and, counted on, of another one."""
        chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
        return _Vector(self.builder, self.builder.shuffle_vector(self.value, other.value, chosen))


class _Memory:
    """The numbers of an array, from an index on, in generated code, as vectors of another precision.

    Args:
        context: Given by numba, and so is the next.
        builder: Appends instructions.
        array_type: Type of the array.
        array: The array.
        at: The index.
        dtype: Precision of the vectors.
    """

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any, at: Any, dtype: Any) -> None:
        self._builder = builder
        self._stored = context.get_value_type(array_type.dtype)
        self._used = context.get_value_type(dtype)
        self.n_lanes = _n_lanes(dtype)
        self._alignment = array_type.dtype.bitwidth // 8
        self._start = builder.gep(context.make_array(array_type)(context, builder, array).data, [at])

    def _address(self, *offsets: Any) -> Any:
        address = self._start
        for offset in offsets:
            address = self._builder.gep(
                address, [ir.Constant(ir.IntType(64), offset) if isinstance(offset, int) else offset]
            )
        return self._builder.bitcast(address, ir.VectorType(self._stored, self.n_lanes).as_pointer())

    def load(self, *offsets: Any) -> _Vector:
        numbers = self._builder.load(self._address(*offsets), align=self._alignment)
        if self._stored != self._used:
            numbers = self._builder.fpext(numbers, ir.VectorType(self._used, self.n_lanes))
        return _Vector(self._builder, numbers)

    def store(self, vector: _Vector, *offsets: Any) -> None:
        numbers = vector.value
        if self._stored != self._used:
            numbers = self._builder.fptrunc(numbers, ir.VectorType(self._stored, self.n_lanes))
        self._builder.store(numbers, self._address(*offsets), align=self._alignment)

    def spread(self, offset: int) -> _Vector:
        """Load one number into all lanes."""
        number = self._builder.load(self._builder.gep(self._start, [ir.Constant(ir.IntType(64), offset)]))
        if self._stored != self._used:
            number = self._builder.fpext(number, self._used)
        vector = ir.Constant(ir.VectorType(self._used, self.n_lanes), ir.Undefined)
        for lane in range(self.n_lanes):
            vector = self._builder.insert_element(vector, number, ir.Constant(ir.IntType(32), lane))
        return _Vector(self._builder, vector)


def _n_lanes(dtype: Any) -> int:
    return int(_VECTOR_BYTES * 8 // dtype.bitwidth)


@intrinsic  # type: ignore[untyped-decorator]
def _transpose(
    _typing: Any, source: Any, at: Any, step: Any, factors: Any, factors_at: Any, target: Any, to: Any, target_step: Any
) -> Any:
    """Transpose a square of numbers, as many rows as there are lanes; its rows may be multiplied by factors."""
    dtype = source.dtype if source.dtype.bitwidth > target.dtype.bitwidth else target.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, at, step, factors, factors_at, target, to, target_step = arguments
        rows = _Memory(context, builder, signature.args[0], source, at, dtype)
        columns = _Memory(context, builder, signature.args[5], target, to, dtype)
        n_lanes = rows.n_lanes
        vectors = [rows.load(builder.mul(step, ir.Constant(step.type, row))) for row in range(n_lanes)]
        if not isinstance(signature.args[3], types.NoneType):
            factor = _Memory(context, builder, signature.args[3], factors, factors_at, dtype).load(0)
            vectors = [vector * factor for vector in vectors]
        distance = 1
        while distance < n_lanes:
            # The off-diagonal squares of each square of twice the distance change places.
            first = [lane if not lane & distance else n_lanes + lane - distance for lane in range(n_lanes)]
            second = [lane + distance if not lane & distance else n_lanes + lane for lane in range(n_lanes)]
            for row in range(n_lanes):
                if not row & distance:
                    one, other = vectors[row], vectors[row + distance]
                    vectors[row], vectors[row + distance] = one.blended(other, first), one.blended(other, second)
            distance *= 2
        for column, vector in enumerate(vectors):
            columns.store(vector, builder.mul(target_step, ir.Constant(target_step.type, column)))
        return context.get_dummy_value()

    index = types.int64
    return types.void(source, index, index, factors, index, target, index, index), generate


@intrinsic  # type: ignore[untyped-decorator]
def _butterfly(_typing: Any, numbers: Any, at: Any, distance: Any, turns: Any, turn: Any) -> Any:
    """Transform four complex numbers, in place, and turn three of them: a step of radix 4."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, distance, turns, turn = arguments
        places = [builder.mul(distance, ir.Constant(distance.type, part)) for part in range(4)]
        memory = _Memory(context, builder, signature.args[0], array, at, numbers.dtype)
        (ar, ai), (br, bi), (cr, ci), (dr, di) = (
            (memory.load(place), memory.load(place, memory.n_lanes)) for place in places
        )
        pr, pi, qr, qi = ar + cr, ai + ci, ar - cr, ai - ci
        sr, si, tr, ti = br + dr, bi + di, br - dr, bi - di
        results = [(pr + sr, pi + si), (qr + ti, qi - tr), (pr - sr, pi - si), (qr - ti, qi + tr)]
        for part, (real, imaginary) in enumerate(results):
            if part:
                first = builder.mul(turn, ir.Constant(turn.type, 2 * part))
                factors = _Memory(context, builder, signature.args[3], turns, first, numbers.dtype)
                wr, wi = factors.spread(0), factors.spread(1)
                real, imaginary = real * wr - imaginary * wi, real * wi + imaginary * wr  # noqa: PLW2901
            memory.store(real, places[part])
            memory.store(imaginary, places[part], memory.n_lanes)
        return context.get_dummy_value()

    return types.void(numbers, types.int64, types.int64, turns, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _pair(_typing: Any, numbers: Any, at: Any) -> Any:
    """Transform two neighbouring complex numbers, in place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at = arguments
        memory = _Memory(context, builder, signature.args[0], array, at, numbers.dtype)
        for part in (0, memory.n_lanes):
            one, other = memory.load(part), memory.load(part + 2 * memory.n_lanes)
            memory.store(one + other, part)
            memory.store(one - other, part + 2 * memory.n_lanes)
        return context.get_dummy_value()

    return types.void(numbers, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _unpack(
    _typing: Any,
    numbers: Any,
    one_at: Any,
    other_at: Any,
    turns: Any,
    turn: Any,
    target: Any,
    to: Any,
    mirrored_to: Any,
    are_energies: Any,
) -> Any:
    """From a transform of even samples plus i times odd samples, compute two bins of the samples' transform."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, one_at, other_at, turns, turn, target, to, mirrored_to, _ = arguments
        one = _Memory(context, builder, signature.args[0], array, one_at, numbers.dtype)
        other = _Memory(context, builder, signature.args[0], array, other_at, numbers.dtype)
        n_lanes = one.n_lanes
        ar, ai, br, bi = one.load(0), one.load(n_lanes), other.load(0), other.load(n_lanes)
        even_r, even_i, odd_r, odd_i = ar + br, ai - bi, ai + bi, br - ar
        factors = _Memory(
            context, builder, signature.args[3], turns, builder.mul(turn, ir.Constant(turn.type, 2)), numbers.dtype
        )
        wr, wi = factors.spread(0), factors.spread(1)
        turned_r, turned_i = odd_r * wr - odd_i * wi, odd_r * wi + odd_i * wr
        for place, real, imaginary in (
            (mirrored_to, even_r - turned_r, turned_i - even_i),
            (to, even_r + turned_r, even_i + turned_i),
        ):
            memory = _Memory(context, builder, signature.args[5], target, place, numbers.dtype)
            if are_energies.literal_value:
                memory.store(real * real + imaginary * imaginary, 0)
            else:
                memory.store(real, 0)
                memory.store(imaginary, n_lanes)
        return context.get_dummy_value()

    if not isinstance(are_energies, types.Literal):
        return None
    index = types.int64
    return types.void(numbers, index, index, turns, index, target, index, index, are_energies), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add_products(_typing: Any, sums: Any, to: Any, numbers: Any, at: Any, weights: Any, weights_at: Any) -> Any:
    """Add some neighbouring numbers times their weights to a sum."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, column, weight = (
            _Memory(context, builder, signature.args[index], arguments[index], arguments[index + 1], sums.dtype)
            for index in (0, 2, 4)
        )
        products = [column.load(index * column.n_lanes) * weight.spread(index) for index in range(_N_STEP)]
        total.store(total.load(0) + ((products[0] + products[1]) + (products[2] + products[3])), 0)
        return context.get_dummy_value()

    return types.void(sums, types.int64, numbers, types.int64, weights, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _energy(_typing: Any, numbers: Any, at: Any, gains: Any, gain_at: Any, to: Any) -> Any:
    """Compute the energy of a complex number, times a gain, within one array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, gains, gain_at, to = arguments
        source, target = (
            _Memory(context, builder, signature.args[0], array, place, numbers.dtype) for place in (at, to)
        )
        gain = _Memory(context, builder, signature.args[2], gains, gain_at, numbers.dtype).spread(0)
        real, imaginary = source.load(0), source.load(source.n_lanes)
        target.store((real * real + imaginary * imaginary) * gain, 0)
        return context.get_dummy_value()

    return types.void(numbers, types.int64, gains, types.int64, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _decibels(_typing: Any, energies: Any, at: Any, least: Any, greatest: Any, greatest_at: Any, levels: Any) -> Any:
    """Compute the levels of some neighbouring energies, and the greatest energy of each lane: NaN if not finite."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, least, greatest, greatest_at, levels = arguments
        start = ir.Constant(at.type, 0)
        source, floor, most, target = (
            _Memory(context, builder, array_type, each, place, types.float32)
            for array_type, each, place in zip(
                [signature.args[0], signature.args[2], signature.args[3], signature.args[5]],
                [array, least, greatest, levels],
                [at, start, greatest_at, at],
                strict=True,
            )
        )
        energy, largest, smallest = source.load(0), most.load(0), floor.spread(0)
        is_larger = builder.fcmp_ordered(">", energy.value, largest.value)
        # Zero for a finite energy.
        excess = energy - energy
        most.store(_Vector(builder, builder.select(is_larger, energy.value, largest.value)) + excess, 0)
        is_audible = builder.fcmp_ordered(">", energy.value, smallest.value)
        bits = builder.bitcast(
            builder.select(is_audible, energy.value, smallest.value), ir.VectorType(ir.IntType(32), source.n_lanes)
        )

        def whole(number: int) -> Any:
            return ir.Constant(bits.type, [number] * source.n_lanes)

        def real(number: float) -> _Vector:
            return _Vector(builder, ir.Constant(energy.value.type, [float(np.float32(number))] * source.n_lanes))

        # An energy is m times a power of two, m from sqrt(0.5) to sqrt(2); log m = 2 artanh((m - 1) / (m + 1)), as a
        # series whose next term is below the rounding.
        shifted = builder.sub(bits, whole(_SQRT_HALF_BITS))
        exponent = _Vector(builder, builder.sitofp(builder.ashr(shifted, whole(23)), energy.value.type))
        mantissa_bits = builder.add(builder.and_(shifted, whole(2**23 - 1)), whole(_SQRT_HALF_BITS))
        mantissa = _Vector(builder, builder.bitcast(mantissa_bits, energy.value.type))
        ratio = _Vector(builder, builder.fdiv((mantissa - real(1.0)).value, (mantissa + real(1.0)).value))
        square = ratio * ratio
        series = real(1 / 9)
        for odd in (7, 5, 3, 1):
            series = series * square + real(1 / odd)
        target.store(series * ratio * real(20.0 / np.log(10.0)) + exponent * real(10.0 * np.log10(2.0)), 0)
        return context.get_dummy_value()

    return types.void(energies, types.int64, least, greatest, types.int64, levels), generate


def _compiled(function: Any) -> Any:
    """Compile a function when it is first called, and keep the result on disk if a folder for it can be written to."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:
        return njit(nogil=True)(function)


@_compiled
def _fft(numbers: NDArray[Any], start: int, n: int, turns: NDArray[Any], n_turns: int, n_lanes: int) -> None:
    """Transform ``n`` complex numbers from ``start`` on, in place; the result's order is that of :func:`_order`."""
    size = n
    while size >= 4:
        quarter = size // 4
        for base in range(start, start + n, size):
            for k in range(quarter):
                _butterfly(numbers, (base + k) * 2 * n_lanes, quarter * 2 * n_lanes, turns, k * (n_turns // size))
        size = quarter
    if size == 2:
        for base in range(start, start + n, 2):
            _pair(numbers, base * 2 * n_lanes)


def _make_group(*, are_energies: bool) -> Any:
    width = 1 if are_energies else 2

    @_compiled
    def transform_group(
        samples: NDArray[Any],
        start: int,
        hop_length: int,
        window: NDArray[Any],
        turns: NDArray[Any],
        places: NDArray[Any],
        numbers: NDArray[Any],
        results: NDArray[Any],
    ) -> None:
        """Transform as many frames as there are lanes; a bin's results are energies, or real and imaginary parts."""
        n_fft = len(window)
        n_lanes = _VECTOR_BYTES // window.itemsize
        half, quarter = n_fft // 2, n_fft // 8
        for k in range(0, n_fft, n_lanes):
            _transpose(samples, start + k, hop_length, window, k, numbers, k * n_lanes, n_lanes)
        for k in range(quarter):
            _butterfly(numbers, k * 2 * n_lanes, quarter * 2 * n_lanes, turns, 2 * k)
        for part in range(4):
            _fft(numbers, part * quarter, quarter, turns, n_fft, n_lanes)
        for k in range(half // 2 + 1):
            one, other = places[k] * 2 * n_lanes, places[half - k] * 2 * n_lanes
            to, mirrored_to = k * width * n_lanes, (half - k) * width * n_lanes
            _unpack(numbers, one, other, turns, k, results, to, mirrored_to, are_energies)

    return transform_group


def _make_transform(transform_group: Any) -> Any:
    @_compiled
    def transform(
        samples: NDArray[Any],
        hop_length: int,
        window: NDArray[Any],
        turns: NDArray[Any],
        places: NDArray[Any],
        rows: NDArray[Any],
    ) -> None:
        n_rows = len(rows)
        n_lanes = _VECTOR_BYTES // window.itemsize
        numbers = np.empty(len(window) * n_lanes, window.dtype)
        results = np.empty((len(window) + 2) * n_lanes, window.dtype)
        for group in range(0, n_rows, n_lanes):
            row = min(group, n_rows - n_lanes)
            transform_group(samples, row * hop_length, hop_length, window, turns, places, numbers, results)
            _write_columns(results, rows, row, n_lanes)

    return transform


@_compiled
def _write_columns(columns: NDArray[Any], rows: NDArray[Any], row: int, n_lanes: int) -> None:
    """Write as many rows as there are lanes."""
    n_columns = rows.shape[1]
    flat = rows.reshape(-1)
    for k in range(0, n_columns, n_lanes):
        column = min(k, n_columns - n_lanes)
        _transpose(columns, column * n_lanes, n_lanes, None, 0, flat, row * n_columns + column, n_columns)


@_compiled
def _apply(
    columns: NDArray[Any],
    firsts: NDArray[Any],
    starts: NDArray[Any],
    weights: NDArray[Any],
    sums: NDArray[Any],
    n_lanes: int,
) -> None:
    """Apply filters; columns behind the last one are multiplied by zero."""
    sums[:] = 0
    for each in range(len(firsts)):
        for k in range(starts[each], starts[each + 1], _N_STEP):
            _add_products(sums, each * n_lanes, columns, (firsts[each] + k - starts[each]) * n_lanes, weights, k)


_group_of_energies, _group_of_values = _make_group(are_energies=True), _make_group(are_energies=False)
_energies_of, _values_of = _make_transform(_group_of_energies), _make_transform(_group_of_values)


@_compiled
def _response_energies(
    samples: NDArray[Any],
    hop_length: int,
    window: NDArray[Any],
    turns: NDArray[Any],
    places: NDArray[Any],
    filters: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    gains: NDArray[Any],
    rows: NDArray[Any],
) -> None:
    firsts, starts, weights = filters
    n_lanes = _VECTOR_BYTES // window.itemsize
    numbers = np.empty(len(window) * n_lanes, window.dtype)
    results = np.zeros((len(window) + 2 + _N_STEP) * n_lanes, window.dtype)
    sums = np.empty(2 * max(len(gains), n_lanes) * n_lanes, window.dtype)
    for group in range(0, len(rows), n_lanes):
        row = min(group, len(rows) - n_lanes)
        _group_of_values(samples, row * hop_length, hop_length, window, turns, places, numbers, results)
        _apply(results, firsts, starts, weights, sums, n_lanes)
        for each in range(len(gains)):
            _energy(sums, 2 * each * n_lanes, gains, each, each * n_lanes)
        _write_columns(sums, rows, row, n_lanes)


@_compiled
def _band_energies(
    samples: NDArray[Any],
    hop_length: int,
    window: NDArray[Any],
    turns: NDArray[Any],
    places: NDArray[Any],
    filters: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    rows: NDArray[Any],
) -> None:
    firsts, starts, weights = filters
    n_lanes = _VECTOR_BYTES // window.itemsize
    numbers = np.empty(len(window) * n_lanes, window.dtype)
    results = np.zeros((len(window) // 2 + 1 + _N_STEP) * n_lanes, window.dtype)
    sums = np.empty(max(len(firsts), n_lanes) * n_lanes, window.dtype)
    for group in range(0, len(rows), n_lanes):
        row = min(group, len(rows) - n_lanes)
        _group_of_energies(samples, row * hop_length, hop_length, window, turns, places, numbers, results)
        _apply(results, firsts, starts, weights, sums, n_lanes)
        _write_columns(sums, rows, row, n_lanes)


@_compiled
def _filter(
    rows: NDArray[Any],
    first_column: int,
    stop_column: int,
    filters: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    responses: NDArray[Any],
) -> None:
    firsts, starts, weights = filters
    n_rows, n_columns = rows.shape
    n_lanes = _VECTOR_BYTES // rows.itemsize
    columns = np.zeros((n_columns + _N_STEP) * n_lanes, rows.dtype)
    sums = np.empty(responses.shape[1] * n_lanes, rows.dtype)
    flat = rows.reshape(-1)
    for group in range(0, n_rows, n_lanes):
        row = min(group, n_rows - n_lanes)
        for k in range(first_column, stop_column, n_lanes):
            column = min(k, n_columns - n_lanes)
            _transpose(flat, row * n_columns + column, n_columns, None, 0, columns, column * n_lanes, n_lanes)
        _apply(columns, firsts, starts, weights, sums, n_lanes)
        _write_columns(sums, responses, row, n_lanes)


class Transform:
    """Transforms frames of samples.

    Args:
        window: Shape ``(n_fft,)``, float32 or float64, the precision of the transform; ``n_fft`` is a power of two, at
            least 64.
    """

    def __init__(self, window: NDArray[np.float32] | NDArray[np.float64]) -> None:
        n_fft = len(window)
        # Half, instead of half the sums and differences of even and odd samples.
        self._window = window / 2
        turns = np.exp(-2j * np.pi * np.arange(n_fft) / n_fft)
        self._turns = np.stack([turns.real, turns.imag], axis=1).astype(window.dtype).ravel()
        self._places = np.empty(n_fft // 2 + 1, dtype=np.int64)
        self._places[_order(np.arange(n_fft // 2))] = np.arange(n_fft // 2)
        self._places[-1] = self._places[0]

    def energies(self, samples: NDArray[np.float32], hop_length: int, n_frames: int) -> NDArray[np.float32]:
        """Return the squared magnitudes of frames, shape ``(n_frames, 1 + n_fft // 2)``.

        Args:
            samples: Those of the frames, from the first one's start.
            hop_length: Distance between successive frames, in samples.
            n_frames: How many.
        """
        return self._rows(_energies_of, samples, hop_length, n_frames, 1 + len(self._window) // 2)

    def values(self, samples: NDArray[np.float32], hop_length: int, n_frames: int) -> NDArray[np.complex64]:
        """Return the spectra of frames as :meth:`energies` their squared magnitudes."""
        return self._rows(_values_of, samples, hop_length, n_frames, 2 + len(self._window)).view(np.complex64)

    def band_energies(
        self, samples: NDArray[np.float32], hop_length: int, n_frames: int, *, filters: Filters
    ) -> NDArray[np.float32]:
        """Return the responses of real filters to energies, shape ``(n_frames, n_filters)``.

        In single precision, the bits are those of ``filters(transform.energies(...))``.

        Args:
            samples: As for :meth:`energies`, and so are the next two.
            hop_length: Distance between successive frames, in samples.
            n_frames: How many.
            filters: The filters.
        """
        n_columns = max(filters.n_filters, _MAX_LANES)
        rows = self._rows(_band_energies, samples, hop_length, n_frames, n_columns, filters.arrays)
        return np.ascontiguousarray(rows[:, : filters.n_filters])

    def response_energies(
        self,
        samples: NDArray[np.float32],
        hop_length: int,
        n_frames: int,
        *,
        filters: Filters,
        gains: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the energies of complex filters' responses, shape ``(n_frames, n_filters)``.

        Args:
            samples: As for :meth:`energies`, and so are the next two.
            hop_length: Distance between successive frames, in samples.
            n_frames: How many.
            filters: The filters.
            gains: Their factors, shape ``(n_filters,)``.
        """
        n_columns = max(len(gains), _MAX_LANES)
        rows = self._rows(_response_energies, samples, hop_length, n_frames, n_columns, filters.arrays, gains)
        return np.ascontiguousarray(rows[:, : len(gains)])

    def _rows(
        self, transform: Any, samples: NDArray[np.float32], hop_length: int, n_frames: int, n_columns: int, *others: Any
    ) -> NDArray[np.float32]:
        n_rows = max(n_frames, _MAX_LANES)
        n_missing = (n_rows - 1) * hop_length + len(self._window) - len(samples)
        if n_missing > 0:
            samples = np.pad(samples, (0, n_missing))
        rows = np.empty((n_rows, n_columns), dtype=np.float32)
        transform(samples, hop_length, self._window, self._turns, self._places, *others, rows)
        return rows[:n_frames]


def _order(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return bins in the order in which transforms of radix 4, and 2 at last, leave them."""
    return bins if len(bins) <= 2 else np.concatenate([_order(bins[part::4]) for part in range(4)])


class Filters:
    """Filters of spectra, without their zeros.

    Args:
        filters: Shape ``(n_filters, n_columns)``, float32 or complex64.

    Attributes:
        n_filters: Number of real filters; a complex one counts as two.
        arrays: The first column of each; where its weights start; all weights, with zeros behind each filter's.
    """

    def __init__(self, filters: NDArray[np.float32] | NDArray[np.complex64]) -> None:
        if np.iscomplexobj(filters):
            # Real and imaginary part of the product, of real and imaginary parts side by side.
            parts = [np.stack([filters.real, -filters.imag], axis=2), np.stack([filters.imag, filters.real], axis=2)]
            filters = np.stack(parts, axis=1).reshape(2 * len(filters), -1)
        self.n_filters = len(filters)
        used = [np.flatnonzero(row) for row in filters]
        # No column for a filter that holds no bin.
        spans = [(int(each[0]), int(each[-1]) + 1) if len(each) else (0, 0) for each in used]
        firsts, stops = zip(*spans, strict=True)
        weights = [
            np.pad(row[first:stop], (0, -(stop - first) % _N_STEP))
            for row, (first, stop) in zip(filters, spans, strict=True)
        ]
        self._used = min((first for first, stop in spans if stop), default=0), max(stops)
        starts = np.cumsum([0, *(len(each) for each in weights)], dtype=np.int64)
        self.arrays = np.array(firsts, dtype=np.int64), starts, np.concatenate(weights)

    def __call__(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return real filters' responses, shape ``(n_frames, n_filters)``, to a shape ``(n_frames, n_columns)``."""
        rows, n_rows = values, len(values)
        # What is missing to fill the lanes is computed too.
        n_missing = max(0, _MAX_LANES - n_rows), max(0, _MAX_LANES - rows.shape[1])
        if any(n_missing):
            rows = np.pad(rows, [(0, n) for n in n_missing])
        responses = np.empty((len(rows), max(_MAX_LANES, self.n_filters)), dtype=np.float32)
        _filter(rows, *self._used, self.arrays, responses)
        return np.ascontiguousarray(responses[:n_rows, : self.n_filters])


@_compiled
def _decibels_of(energies: NDArray[Any], least: NDArray[Any], greatest: NDArray[Any], levels: NDArray[Any]) -> None:
    # The greatest of every fourth vector apart: each waits for the one before.
    n_lanes = len(greatest) // 4
    n_whole = len(energies) - len(energies) % len(greatest)
    for k in range(0, n_whole, len(greatest)):
        _decibels(energies, k, least, greatest, 0, levels)
        _decibels(energies, k + n_lanes, least, greatest, n_lanes, levels)
        _decibels(energies, k + 2 * n_lanes, least, greatest, 2 * n_lanes, levels)
        _decibels(energies, k + 3 * n_lanes, least, greatest, 3 * n_lanes, levels)
    for k in range(n_whole, len(energies), n_lanes):
        _decibels(energies, min(k, len(energies) - n_lanes), least, greatest, 0, levels)


def write_decibels(energies: NDArray[np.float32], least: float, levels_db: NDArray[np.float32]) -> float:
    """Write the levels of energies, as ``10 * log10(maximum(energies, least))``.

    Args:
        energies: Of any shape, contiguous.
        least: The least energy, a normal number.
        levels_db: Where the levels are written, of the same shape, contiguous.

    Returns:
        The greatest energy; NaN, and levels without meaning, if one is not finite, or there are too few for a vector.
    """
    if energies.size < _MAX_LANES:
        return math.nan
    greatest = np.zeros(4 * _MAX_LANES, dtype=np.float32)
    _decibels_of(energies.reshape(-1), np.array([least], dtype=np.float32), greatest, levels_db.reshape(-1))
    return float(greatest.max())

"""Reads the tensors of a TensorFlow checkpoint ("tensor bundle") without TensorFlow.

A bundle is an index and data files. The index is a sorted table of LevelDB's format: blocks of entries whose keys share
a prefix with the key before, each block with a CRC32C; a footer points to the index of the blocks. A value describes a
tensor as a protocol buffer: type, shape, where its bytes are, and their CRC32C. Nothing is unpickled, and no code runs.

Formats: ``table_format.txt`` of LevelDB; ``tensor_bundle.proto``, ``tensor_shape.proto`` and ``types.proto`` of
TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from genre_pipeline.errors import FeatureError

# table_format.txt: two handles padded to 40 bytes, then the magic number.
_FOOTER_BYTES = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
# After each block: how it is compressed, and its checksum.
_TRAILER_BYTES = 5
_COMPRESSIONS = {0: "none", 1: "Snappy", 2: "Zstandard"}
# types.proto: DT_FLOAT. Weights are of no other type.
_FLOAT = 1
# Castagnoli's polynomial, reflected; and how LevelDB masks a checksum (crc32c.h).
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
# [?] Bytes of a lane of the checksum: twice as many or half as many take as long.
_LANE_BYTES = 256


class Damaged(Exception):  # noqa: N818  # becomes a FeatureError that names the file
    """Bytes that are not what the format says."""


class _Entry(NamedTuple):
    dtype: int
    shape: tuple[int, ...]
    offset: int
    n_bytes: int
    crc32c: int


def read_bundle(index: bytes, data: bytes, *, name: str) -> dict[str, NDArray[np.float32]]:
    """Read the float32 tensors of a bundle with one data file, without the state of its optimiser.

    Args:
        index: Content of the ``.index`` file.
        data: Content of the ``.data-00000-of-00001`` file.
        name: Name of the bundle, for messages.

    Returns:
        The tensors by name: arrays that share the memory of ``data`` and cannot be written to. Tensors named
        ``.../Adam`` and ``.../Adam_1``, and those of other types, are left out.

    Raises:
        FeatureError: If the bundle is damaged, truncated, compressed, or of another format.
    """
    try:
        entries = dict(_entries(index))
        _check_header(entries.pop("", b""))
        described = {key: _entry(value) for key, value in entries.items() if "/Adam" not in key}
        return {key: _tensor(key, each, data) for key, each in described.items() if each.dtype == _FLOAT}
    except Damaged as error:
        raise FeatureError(f"The checkpoint {name} cannot be read: {error}. Get the original file again.") from None


def _entries(index: bytes) -> Iterator[tuple[str, bytes]]:
    if len(index) < _FOOTER_BYTES or not index.endswith(_MAGIC):
        raise Damaged("its index does not end like a table of LevelDB's format; it is truncated, or another file")
    footer = index[-_FOOTER_BYTES:]
    _, _, place = _handle(footer, 0)
    offset, size, _ = _handle(footer, place)
    for _, handle in _block(index, offset, size):
        offset, size, _ = _handle(handle, 0)
        for key, value in _block(index, offset, size):
            yield key.decode(errors="replace"), value


def _block(index: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    end = offset + size
    if end + _TRAILER_BYTES > len(index) - _FOOTER_BYTES:
        raise Damaged("its index is truncated")
    compression = index[end]
    if compression != 0:
        how = _COMPRESSIONS.get(compression, f"method {compression}")
        raise Damaged(f"a block of its index is compressed ({how}); expected one that is not")
    _check_sum("a block of its index", index[offset : end + 1], int.from_bytes(index[end + 1 : end + 5], "little"))
    block = index[offset:end]
    # The entries end where the list of restarts begins, whose length is the last number.
    n_restarts = int.from_bytes(block[-4:], "little")
    entries = block[: len(block) - 4 * (1 + n_restarts)] if 4 * (1 + n_restarts) <= len(block) else b""
    place, key = 0, b""
    while place < len(entries):
        n_shared, place = _varint(entries, place)
        n_own, place = _varint(entries, place)
        n_value, place = _varint(entries, place)
        if n_shared > len(key) or place + n_own + n_value > len(entries):
            raise Damaged("an entry of its index is longer than its block")
        key = key[:n_shared] + entries[place : place + n_own]
        place += n_own + n_value
        yield key, entries[place - n_value : place]


def _handle(content: bytes, place: int) -> tuple[int, int, int]:
    """Return offset and size of a block, and where the next thing begins."""
    offset, place = _varint(content, place)
    size, place = _varint(content, place)
    return offset, size, place


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where the next thing begins."""
    number = 0
    for shift in range(0, 64, 7):
        if place >= len(content):
            raise Damaged("a number in its index is truncated")
        byte = content[place]
        number |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return number, place
    raise Damaged("a number in its index has more than 64 bits")


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protocol buffer."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        n_bytes = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            n_bytes, place = _varint(message, place)
        if n_bytes is None or place + n_bytes > len(message):
            raise Damaged("a description in its index is no protocol buffer")
        content = message[place : place + n_bytes]
        yield number, content if wire == 2 else int.from_bytes(content, "little")
        place += n_bytes


def _check_header(message: bytes) -> None:
    """Check the header (BundleHeaderProto): ``num_shards`` 1, ``endianness`` 2, where 0 is little."""
    fields = dict(_fields(message))
    if fields.get(1) != 1:
        raise Damaged("its index has no header of a bundle with one data file")
    if fields.get(2, 0) != 0:
        raise Damaged("its numbers are big-endian; expected little-endian")


def _entry(message: bytes) -> _Entry:
    """Read a tensor's description (BundleEntryProto). Fields that are zero are left out of the message."""
    fields = dict(_fields(message))
    shape = b""
    if isinstance(fields.get(2), bytes):
        shape = cast("bytes", fields.pop(2))
    if 7 in fields or not all(isinstance(value, int) for value in fields.values()):
        raise Damaged("a tensor is stored in slices; expected whole ones")
    numbers = cast("Mapping[int, int]", fields)
    sizes = [dict(_fields(cast("bytes", dim))).get(1, 0) for number, dim in _fields(shape) if number == 2]
    return _Entry(
        dtype=numbers.get(1, 0),
        shape=tuple(cast("list[int]", sizes)),
        offset=numbers.get(4, 0),
        n_bytes=numbers.get(5, 0),
        crc32c=numbers.get(6, 0),
    )


def _tensor(name: str, entry: _Entry, data: bytes) -> NDArray[np.float32]:
    stored = data[entry.offset : entry.offset + entry.n_bytes]
    if len(stored) != entry.n_bytes:
        raise Damaged(f"its data file is truncated within the tensor {name}")
    if entry.n_bytes != 4 * math.prod(entry.shape):
        raise Damaged(f"the tensor {name} has {entry.n_bytes} bytes, which is not its shape {entry.shape}")
    _check_sum(f"the tensor {name}", stored, entry.crc32c)
    return np.frombuffer(stored, dtype="<f4").reshape(entry.shape)


def _check_sum(what: str, content: bytes, masked: int) -> None:
    crc = crc32c(content)
    if (((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF) != masked:
        raise Damaged(f"the checksum of {what} is wrong")


def crc32c(content: bytes) -> int:
    """Return the CRC32C of bytes.

    The register is linear in its start and in the bytes: lanes of equal length start from zero side by side, and are
    then joined, each after the one before was moved on by a lane of zeros.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    numbers = np.frombuffer(content, dtype=np.uint8)
    n_lanes = len(numbers) // _LANE_BYTES
    lanes, rest = np.split(numbers, [n_lanes * _LANE_BYTES])
    state = 0xFFFFFFFF
    for end in _advance(np.zeros(n_lanes, np.uint32), lanes.reshape(n_lanes, _LANE_BYTES)).tolist():
        first, second, third, fourth = state.to_bytes(4, "little")
        state = _MOVED[0][first] ^ _MOVED[1][second] ^ _MOVED[2][third] ^ _MOVED[3][fourth] ^ end
    return int(_advance(np.array([state], np.uint32), rest[None])[0]) ^ 0xFFFFFFFF


def _advance(states: NDArray[np.uint32], rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Move registers on, each by the bytes of its row."""
    for column in rows.T:
        states = _TABLE[(states ^ column) & 0xFF] ^ (states >> 8)
    return states


def _table() -> NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _table()
# What a lane of zeros makes of each byte of the register, the lowest first.
_MOVED = (
    _advance(
        np.left_shift(np.arange(256, dtype=np.uint32), 8 * np.arange(4, dtype=np.uint32)[:, None]).ravel(),
        np.zeros((4 * 256, _LANE_BYTES), np.uint8),
    )
    .reshape(4, 256)
    .tolist()
)

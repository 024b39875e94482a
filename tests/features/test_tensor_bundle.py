"""The reader of TensorFlow's checkpoints, against bundles that are written here."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genre_pipeline.errors import FeatureError
from genre_pipeline.features.pretrained.tensor_bundle import crc32c, read_bundle

TENSORS = {
    "conv2d/bias": np.arange(3, dtype=np.float32),
    "conv2d/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "conv2d/kernel/Adam": np.ones(2, np.float32),
    "scale": np.array(0.5, np.float32),
    "wide": np.linspace(-1, 1, 700, dtype=np.float32),
}
MAGIC = bytes.fromhex("57fb808b247547db")


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def plain_crc32c(content):
    """The definition, bit by bit."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(content):
    crc = plain_crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")


def described(array, offset, *, dtype=1, extra=b""):
    """BundleEntryProto: fields that are zero are left out."""
    shape = b"".join(b"\x12" + varint(len(size)) + size for size in (b"\x08" + varint(n) for n in array.shape))
    return b"".join(
        [
            b"\x08" + varint(dtype) + b"\x12" + varint(len(shape)) + shape,
            b"\x20" + varint(offset) if offset else b"",
            b"\x28" + varint(array.nbytes) + b"\x35" + masked(array.tobytes()) + extra,
        ]
    )


def block(entries, compression=0):
    content, before = b"", b""
    for key, value in entries:
        n_shared = next(n for n in range(len(before), -1, -1) if key.startswith(before[:n]))
        content += varint(n_shared) + varint(len(key) - n_shared) + varint(len(value)) + key[n_shared:] + value
        before = key
    content += (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes([compression])
    return content + masked(content)


def bundle(tensors=TENSORS, *, header=b"\x08\x01", compression=0, dtype=1, extra=b"", per_block=3):
    data, entries = b"", [(b"", header)]
    for name, array in sorted(tensors.items()):
        entries.append((name.encode(), described(array, len(data), dtype=dtype, extra=extra)))
        data += array.tobytes()
    index, places = b"", []
    for first in range(0, len(entries), per_block):
        part = entries[first : first + per_block]
        written = block(part, compression)
        places.append((part[-1][0] + b"~", varint(len(index)) + varint(len(written) - 5)))
        index += written
    written = block(places)
    footer = varint(0) + varint(0) + varint(len(index)) + varint(len(written) - 5)
    return index + written + footer.ljust(40, b"\0") + MAGIC, data


def test_tensors_come_back_as_they_were_written_without_the_state_of_the_optimiser():
    found = read_bundle(*bundle(), name="mine")
    assert found.keys() == TENSORS.keys() - {"conv2d/kernel/Adam"}
    for name, array in found.items():
        np.testing.assert_array_equal(array, TENSORS[name])
        assert array.dtype == np.float32
        assert array.shape == TENSORS[name].shape


def test_tensors_of_another_type_are_left_out():
    assert read_bundle(*bundle({"step": TENSORS["scale"]}, dtype=3), name="mine") == {}


@given(st.binary(max_size=1200))
def test_the_checksum_is_that_of_the_definition(content):
    assert crc32c(content) == plain_crc32c(content)


@pytest.mark.parametrize("content", [bytes(32), b"\xff" * 32, b"123456789"], ids=["zeros", "ones", "digits"])
def test_the_checksum_of_published_examples(content):
    # RFC 3720, B.4; and the check value of the catalogue of CRCs.
    assert crc32c(content) in {0x8A9136AA, 0x62A8AB43, 0xE3069283}


INDEX, DATA = bundle()


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("index", "data", "message"),
    [
        (INDEX[:-1], DATA, "does not end like a table"),
        (b"", DATA, "does not end like a table"),
        (flipped(INDEX, len(INDEX) - 1), DATA, "does not end like a table"),
        (flipped(INDEX, 20), DATA, "the checksum of a block of its index is wrong"),
        (INDEX[100:], DATA, "its index is truncated"),
        (INDEX[:-48] + b"\xff" * 40 + MAGIC, DATA, "more than 64 bits"),
        (INDEX, DATA[:-1], "its data file is truncated within the tensor wide"),
        (INDEX, b"", "its data file is truncated"),
        (INDEX, flipped(DATA, 5), "the checksum of the tensor conv2d/bias is wrong"),
        (bundle(compression=1)[0], DATA, "compressed (Snappy)"),
        (bundle(compression=7)[0], DATA, "compressed (method 7)"),
        (bundle(header=b"\x08\x02")[0], DATA, "no header of a bundle with one data file"),
        (bundle(header=b"")[0], DATA, "no header of a bundle with one data file"),
        (bundle(header=b"\x08\x01\x10\x01")[0], DATA, "big-endian"),
        (bundle(extra=b"\x3a\x00")[0], DATA, "stored in slices"),
        (bundle(extra=b"\x0b")[0], DATA, "no protocol buffer"),
        (bundle(extra=b"\x3a\x7f")[0], DATA, "no protocol buffer"),
        (bundle(extra=b"\x28\x04")[0], DATA, "which is not its shape"),
    ],
)
def test_damage_is_named_in_one_line(index, data, message):
    with pytest.raises(FeatureError, match=re.escape(message)) as error:
        read_bundle(index, data, name="mine")
    assert str(error.value).startswith("The checkpoint mine cannot be read: ")
    assert "\n" not in str(error.value)


@given(st.integers(0, len(INDEX) - 1), st.integers(1, 255))
def test_any_changed_byte_of_the_index_is_an_error_or_changes_nothing(place, change):
    changed = INDEX[:place] + bytes([INDEX[place] ^ change]) + INDEX[place + 1 :]
    try:
        found = read_bundle(changed, DATA, name="mine")
    except FeatureError:
        return
    assert all(np.array_equal(found[name], TENSORS[name]) for name in TENSORS.keys() - {"conv2d/kernel/Adam"})

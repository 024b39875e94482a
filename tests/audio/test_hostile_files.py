"""Files whose headers lie, or that are damaged anywhere, read in processes of their own whose memory is bounded."""

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded and measured by Linux")

RATE = 22_050
Read = Callable[[str, bytes], dict[str, Any]]


@pytest.fixture(scope="module")
def read(tmp_path_factory) -> Iterator[Read]:
    """Give a file to a process that reads it in bounded memory."""
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, str(Path(__file__).with_name("limited_reader.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def read_file(extension: str, content: bytes) -> dict[str, Any]:
            path = folder / f"a.{extension}"
            path.write_bytes(content)
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the process that read the file ended"
            return json.loads(line)

        yield read_file
        process.stdin.close()


def whole_file(name: str, n_samples: int = 4000) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, n_samples)
    soundfile.write(file, samples, RATE, format=name)
    return file.getvalue()


def check(found: dict[str, Any]) -> None:
    """What inspection found is what reading gives, or reading says why not."""
    if found["error"]:
        assert found["faults"] or found["n_samples"] == 0
    else:
        assert 4000 <= found["sample_rate"] <= 768_000
        assert found["n_read"] == -(-found["n_samples"] * RATE // found["sample_rate"])
        assert not {"unreadable", "unusable_rate", "empty", "non_finite"} & set(found["faults"])


def number(n_bytes: int, *usual: int) -> st.SearchStrategy[int]:
    """Any number of so many bytes, most often one that means something."""
    top = 256**n_bytes - 1
    special = sorted({each & top for each in (*usual, 0, 1, 2, 999, 1024, 1025, top, top // 2, top // 2 + 1)})
    return st.sampled_from(special) | st.integers(0, top)


RATES = (RATE, 44_100, 3999, 4000, 768_000, 768_001, 4_000_000_000)
SIZES = (2000, 2001, 2044, 20_000, 0x7FFFF000, 0x7FFFFFFF)
SOUND = np.random.default_rng(1).integers(-9000, 9000, 1000, dtype=np.int16).tobytes()


@st.composite
def wav(draw):
    tag = draw(number(2, 1, 2, 3, 6, 7, 0x11, 0x31, 0x50, 0x55, 0xFFFE))
    head = struct.pack(
        "<HHIIHH",
        tag,
        draw(number(2)),
        draw(number(4, *RATES)),
        draw(number(4)),
        draw(number(2, 2, 4)),
        draw(number(2, 8, 16, 24, 32, 64)),
    )
    more = draw(st.binary(max_size=24))
    fmt = b"fmt " + struct.pack("<I", 16 + len(more)) + head + more
    magic = draw(st.sampled_from([b"RIFF", b"RF64", b"RIFX"]))
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, draw(number(8)), draw(number(8, *SIZES)), draw(number(8)), 0)
    chunks = (ds64 if magic == b"RF64" else b"") + fmt
    data = b"data" + struct.pack("<I", draw(number(4, *SIZES))) + SOUND + draw(st.binary(max_size=40))
    return "wav", magic + struct.pack("<I", draw(number(4))) + b"WAVE" + chunks + data


@st.composite
def aiff(draw):
    form = draw(st.sampled_from([b"AIFF", b"AIFC"]))
    # The rate has 80 bits: an exponent, and a number whose first bit is set.
    rate = struct.pack(">HQ", draw(number(2, 16_397, 16_398, 16_383, 16_414)), draw(number(8, 0xAC44 << 48)))
    comm = struct.pack(">HIH", draw(number(2)), draw(number(4, 1000)), draw(number(2, 8, 16, 24))) + rate
    comm += draw(st.sampled_from([b"", b"NONE\0\0", b"sowt\0\0", b"ima4\0\0", b"fl32\0\0"]))
    chunks = b"COMM" + struct.pack(">I", draw(st.sampled_from([len(comm), 18, 0, 2**32 - 1]))) + comm
    chunks += b"SSND" + struct.pack(">III", draw(number(4, 2008, *SIZES)), draw(number(4)), draw(number(4))) + SOUND
    return "aiff", b"FORM" + struct.pack(">I", draw(number(4))) + form + chunks


@st.composite
def au(draw):
    magic, order = draw(st.sampled_from([(b".snd", ">"), (b"dns.", "<")]))
    numbers = [
        draw(each) for each in (number(4, 24), number(4, *SIZES), number(4, *range(28)), number(4, *RATES), number(4))
    ]
    return "au", magic + struct.pack(f"{order}5I", *numbers) + SOUND


@st.composite
def flac(draw):
    content = whole_file("FLAC")
    rate, n_channels, n_bits = draw(number(3, *RATES)), draw(st.integers(0, 7)), draw(st.integers(0, 31))
    bits = (rate & 0xFFFFF) << 44 | n_channels << 41 | n_bits << 36 | draw(number(5, 4000, 4001)) & 2**36 - 1
    lengths = struct.pack(">HH", draw(number(2, 4096)), draw(number(2, 4096))) + draw(st.binary(min_size=6, max_size=6))
    return "flac", content[:8] + lengths + struct.pack(">Q", bits) + content[26:]


def ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


@st.composite
def ogg(draw):
    content = whole_file("OGG")
    # The first page holds nothing but the identification header, from byte 28 on.
    page = bytearray(content[:58])
    page[5] = draw(st.sampled_from([2, 2, 2, 0, 4, 6]))
    page[6:14] = struct.pack("<Q", draw(number(8)))
    numbers = [draw(each) for each in (number(1, 1), number(4, *RATES), number(4), number(4), number(4))]
    page[39:56] = struct.pack("<B4I", *numbers)
    page[56] = draw(number(1, 0xB8, page[56]))
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", ogg_crc(page))
    return "ogg", bytes(page) + content[58:]


@st.composite
def mp3(draw):
    content = whole_file("MP3", 20_000)
    at = max(content.find(b"Xing"), content.find(b"Info"))
    first = b"\xff" + draw(st.binary(min_size=3, max_size=3)) if draw(st.booleans()) else content[:4]
    flags = draw(st.sampled_from([15, 3, 1, 2, 0]))
    stated = struct.pack(">III", flags, draw(number(4, 36)), draw(number(4, len(content))))
    tag = b"ID3\4\0" + draw(st.binary(min_size=5, max_size=5)) if draw(st.booleans()) else b""
    return "mp3", tag + first + content[4 : at + 4] + stated + content[at + 16 :]


@pytest.mark.parametrize("build", [wav, aiff, au, flac, ogg, mp3], ids=lambda build: build.__name__)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_header_makes_a_reader_take_memory_or_crash(read, build, data):
    check(read(*data.draw(build())))


@pytest.mark.parametrize("rate", [1, 999, 3999, 768_001, 2**31 - 1])
@pytest.mark.parametrize("build", ["wav", "au"])
def test_rates_that_no_audio_has_are_refused(read, build, rate):
    if build == "wav":
        fmt = struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate % 2**32, 2, 16)
        content = b"RIFF" + struct.pack("<I", 2036) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", 2000) + SOUND
    else:
        content = b".snd" + struct.pack(">5I", 24, 2000, 3, rate, 1) + SOUND
    found = read(build, content)
    assert found["faults"] == ["unusable_rate"]
    assert f"a sample rate of {rate} Hz" in found["error"]


@pytest.mark.parametrize("content", [b"OggS\0pus" + bytes(180), b"OggS"])
def test_an_ogg_page_that_holds_nothing_is_no_audio(read, content):
    found = read("opus", content)
    assert found["error"]
    check(found)


@pytest.mark.hypothesis
def test_damaged_files_go_through_ingest_and_features_in_bounded_memory(tmp_path):
    """The same 160 files each time; where new examples are asked for (`make explore`), 2,000 others."""
    is_new = not settings().derandomize
    n_files, seed = (2000, int.from_bytes(os.urandom(4), "big")) if is_new else (160, 0)
    program = Path(__file__).parents[1] / "mutated_music.py"
    ended = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(n_files), str(seed)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, f"seed {seed}: {ended.returncode}\n{ended.stderr}"
    # Progress is shown on terminals only; decoders' warnings belong to the report.
    assert ended.stderr == "", f"seed {seed}"
    counts = json.loads(ended.stdout)
    assert counts["n_tracks"] == n_files + 2
    assert counts["n_tracks"] == counts["n_quarantined"] + counts["n_extracted"] + counts["n_failed"]
    assert counts["n_extracted"] > n_files // 4, f"seed {seed}"

"""Files that hold more, or less, than their first header says: what is there is decoded, and the rest is named."""

import io
import re
import struct

import numpy as np
import pytest
import soundfile

from genre_pipeline.audio import inspect_audio, open_audio, read_waveform
from genre_pipeline.audio.mpeg import find_frame
from genre_pipeline.errors import AudioError

MUSIC = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100 * 3).astype(np.float32)
MUSIC[::2] *= 0.1
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 40, 1, 0xA0000000) + bytes(8 + 40)
APE += b"APETAGEX" + struct.pack("<IIII", 2000, 32 + 40, 1, 0x80000000) + bytes(8)


def id3v2(n_bytes: int) -> bytes:
    return b"ID3\4\0\0" + bytes(n_bytes >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(n_bytes)


def encode(container: str, samples: np.ndarray = MUSIC, rate: int = 44_100, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, **options)
    return file.getvalue()


def mp3(mode: str = "CONSTANT", samples: np.ndarray = MUSIC, rate: int = 44_100) -> bytes:
    return encode("MP3", samples, rate, bitrate_mode=mode, compression_level=0.5)


def uncounted(content: bytes) -> bytes:
    """Take away an MP3's first frame, which holds the count and no sound."""
    tag = max(content.find(b"Xing"), content.find(b"Info"))
    at = find_frame(io.BytesIO(content), tag, len(content))
    assert tag > 0
    assert at is not None
    return content[at:]


def in_wav(frames: bytes, tag: int, rate: int = 44_100) -> bytes:
    """Put MPEG frames into a WAV, as ACM codecs do."""
    fmt = struct.pack("<HHIIHHH", tag, 1, rate, 16_000, 1, 0, 12) + struct.pack("<HIHHH", 1, 2, 417, 1, 1393)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(frames)) + frames
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def read(tmp_path):
    """Inspect a file of given bytes, and read it whole at its own rate."""

    def read_file(content: bytes, name: str = "a.mp3"):
        path = tmp_path / name
        path.write_bytes(content)
        facts = inspect_audio(path)
        waveform = read_waveform(path, sample_rate=facts.sample_rate)
        # Ingest, features and prediction agree.
        assert len(waveform) == facts.n_samples
        return facts, waveform

    return read_file


class TestMP3WithoutCount:
    @pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
    @pytest.mark.parametrize("rate", [44_100, 22_050, 8000])
    @pytest.mark.parametrize("n_channels", [1, 2])
    def test_all_of_it_is_decoded(self, read, mode, rate, n_channels):
        samples = MUSIC[: 2 * rate] if n_channels == 1 else np.stack([MUSIC[: 2 * rate], MUSIC[-2 * rate :]], axis=1)
        content = mp3(mode, samples, rate)
        _, counted = read(content)
        facts, waveform = read(uncounted(content))
        assert facts.faults == ()
        # What the count says of the encoder's delay and padding is lost with it: 1105 samples, and the last frame's.
        assert facts.duration_s == pytest.approx(2, abs=3 * 1152 / rate)
        np.testing.assert_array_equal(waveform[1105:][: len(counted) - 2000], counted[:-2000])

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (id3v2(300), b""),
            (id3v2(200_000), ID3V1),
            (b"", APE + ID3V1),
            (bytes(5000), b""),
            (id3v2(9) + bytes(3000), APE),
        ],
        ids=["ID3v2", "long ID3v2 and ID3v1", "APE and ID3v1", "zeros", "ID3v2, zeros and APE"],
    )
    @pytest.mark.parametrize("is_counted", [False, True])
    def test_tags_are_no_sound(self, read, before, after, is_counted):
        content = mp3() if is_counted else uncounted(mp3())
        _, expected = read(content)
        facts, waveform = read(before + content + after)
        assert facts.faults == ()
        np.testing.assert_array_equal(waveform, expected)

    @pytest.mark.parametrize("name", ["a.mp3", "a.bin", "a"])
    def test_the_name_does_not_matter(self, read, name):
        assert read(uncounted(mp3()), name)[0].faults == ()

    @pytest.mark.parametrize("size", [None, 0, 0xFFFFFFFF])
    def test_in_a_wav(self, read, size):
        frames = uncounted(mp3("VARIABLE"))
        _, expected = read(frames)
        content = in_wav(frames, 0x55)
        if size is not None:
            content = content.replace(struct.pack("<I", len(frames)), struct.pack("<I", size))
        facts, waveform = read(content, "a.wav")
        assert (facts.faults, facts.format) == ((), "WAV")
        np.testing.assert_array_equal(waveform, expected)

    def test_of_free_bitrate(self, read):
        frames = uncounted(mp3())
        _, expected = read(frames)
        # No bitrate index, in each frame of one length and of one byte more.
        free = re.sub(rb"(\xff[\xfa\xfb])([\x10-\xef])(?=[\x40-\xff])", lambda m: m[1] + bytes([m[2][0] & 15]), frames)
        if free.count(b"\xff\xfb\x00") + free.count(b"\xff\xfb\x02") >= len(expected) // 1152:
            assert read(free)[0].n_samples == len(expected)

    def test_a_frame_that_is_cut_is_told(self, read):
        content = uncounted(mp3())
        facts, _ = read(content[:-100])
        assert facts.faults == ("wrong_size",)
        assert "bytes are missing" in facts.detail

    def test_damage_between_frames_is_left_out_and_told(self, read):
        content = uncounted(mp3())
        at = find_frame(io.BytesIO(content), len(content) // 2, len(content))
        _, expected = read(content)
        facts, waveform = read(content[:at] + bytes(5000) + content[at:])
        assert facts.faults == ("left_over",)
        assert facts.detail.startswith("5000 bytes belong to no part of it and are left out (0.")
        np.testing.assert_array_equal(waveform, expected)

    @pytest.mark.parametrize("n_frames", [0, 20])
    def test_a_count_that_is_too_small_hides_nothing(self, read, n_frames):
        content = mp3("VARIABLE")
        at = max(content.find(b"Xing"), content.find(b"Info")) + 8
        facts, _ = read(content[:at] + struct.pack(">I", n_frames) + content[at + 4 :])
        assert facts.duration_s == pytest.approx(3, abs=0.1)

    def test_a_count_that_is_too_great_is_a_promise(self, read):
        content = mp3("VARIABLE")
        at = max(content.find(b"Xing"), content.find(b"Info")) + 8
        facts, _ = read(content[:at] + struct.pack(">I", 1000) + content[at + 4 :])
        assert facts.faults == ("truncated",)
        assert re.search(r"2[23]\.\d\d s less than it states", facts.detail)


class TestJoined:
    @pytest.mark.parametrize(
        ("container", "options", "rate"),
        [
            ("MP3", {}, 44_100),
            ("OGG", {}, 44_100),
            ("OGG", {"subtype": "OPUS"}, 48_000),
            ("FLAC", {}, 44_100),
            ("WAV", {}, 44_100),
            ("AIFF", {}, 44_100),
            ("AU", {}, 44_100),
            ("RF64", {}, 44_100),
        ],
    )
    @pytest.mark.parametrize("n_parts", [2, 3])
    def test_all_of_them_are_decoded(self, read, container, options, rate, n_parts):
        content = encode(container, rate=rate, **options)
        _, one = read(content, "a")
        facts, waveform = read(n_parts * content, "a")
        assert facts.faults == ()
        np.testing.assert_array_equal(waveform, np.tile(one, n_parts))

    @pytest.mark.parametrize(
        "make", [lambda *a, **k: encode("OGG", *a, **k), lambda *a: mp3("CONSTANT", *a)], ids=["ogg", "mp3"]
    )
    def test_parts_of_other_rates_and_channels(self, read, make):
        first = make(MUSIC, 44_100)
        second = make(np.stack([MUSIC[:44_100], MUSIC[:44_100]], axis=1), 22_050)
        facts, waveform = read(first + second, "a")
        assert facts.faults == ()
        assert (facts.sample_rate, facts.n_channels) == (44_100, 1)
        assert facts.duration_s == pytest.approx(5)
        np.testing.assert_array_equal(waveform[: len(MUSIC)], read(first, "a")[1])

    def test_each_mp3_with_or_without_its_count(self, read):
        counted, plain = mp3("VARIABLE"), uncounted(mp3("VARIABLE"))
        _, first = read(counted)
        _, second = read(plain)
        for parts in ([counted, plain], [plain, counted], [counted, ID3V1, id3v2(3000), counted]):
            facts, waveform = read(b"".join(parts))
            expected = [{counted: first, plain: second}[part] for part in parts if part in {counted, plain}]
            assert facts.faults == ()
            np.testing.assert_array_equal(waveform, np.concatenate(expected))

    @pytest.mark.parametrize("container", ["OGG", "FLAC"])
    def test_a_part_that_cannot_be_read_is_a_fault_and_an_error(self, read, tmp_path, container):
        content = encode(container)
        (tmp_path / "b").write_bytes(content + content[:200])
        facts = inspect_audio(tmp_path / "b")
        assert facts.faults == ("truncated",)
        assert facts.detail.startswith("after 3.0 s, ")
        with pytest.raises(AudioError, match="b: "):
            read_waveform(tmp_path / "b", sample_rate=44_100)


class TestSizes:
    @pytest.mark.parametrize("extra", [1, 2, 3, 44])
    @pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "RF64", "CAF", "W64", "WAVEX"])
    def test_a_little_too_large_is_told_and_harmless(self, read, container, extra):
        content, at, form = self.size_of(container)
        (size,) = struct.unpack_from(form, content, at)
        facts, waveform = read(self.with_size(content, at, form, size + extra), "a")
        assert facts.faults == ("wrong_size",)
        assert facts.detail == f"its last {extra} bytes are missing"
        assert len(waveform) == len(MUSIC)

    @pytest.mark.parametrize(("missing_s", "fault"), [(0.025, "wrong_size"), (0.035, "truncated")])
    def test_one_in_a_hundred_is_the_bound(self, read, missing_s, fault):
        content = encode("WAV")
        assert read(content[: -2 * round(44_100 * missing_s)], "a")[0].faults == (fault,)

    def test_fifty_milliseconds_are_the_bound(self, read):
        content = encode("WAV", np.tile(MUSIC, 4))
        assert read(content[: -2 * 2200], "a")[0].faults == ("wrong_size",)
        assert read(content[: -2 * 2210], "a")[0].faults == ("truncated",)

    @pytest.mark.parametrize("size", [0, -1])
    @pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "RF64", "CAF", "W64", "WAVEX"])
    def test_unstated(self, read, container, size):
        content, at, form = self.size_of(container)
        facts, waveform = read(self.with_size(content, at, form, size % 256 ** struct.calcsize(form)), "a")
        assert facts.faults == ()
        np.testing.assert_array_equal(waveform, read(encode(container), "a")[1])

    @pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "CAF"])
    def test_too_small_leaves_seconds(self, read, container):
        content, at, form = self.size_of(container)
        facts, _ = read(self.with_size(content, at, form, 88_200), "a")
        assert "left_over" in facts.faults
        assert re.search(r"\(2\.0 s, if", facts.detail)

    @pytest.mark.parametrize("riff_size", [0, 1000, 10**7, 2**32 - 1])
    def test_the_size_of_all_does_not_matter(self, read, riff_size):
        content = encode("WAV")
        assert read(content[:4] + struct.pack("<I", riff_size) + content[8:], "a")[0].faults == ()

    @pytest.mark.parametrize("tail", [b"LIST\x04\0\0\0INFO", b"id3 \x05\0\0\0abcde\0", ID3V1, id3v2(50)])
    def test_chunks_and_tags_behind_the_samples_are_no_fault(self, read, tail):
        facts, waveform = read(encode("WAV") + tail, "a")
        assert facts.faults == ()
        assert len(waveform) == len(MUSIC)

    @pytest.mark.parametrize("n_stated", [0, 1000])
    def test_flac_that_states_too_little(self, read, n_stated):
        content = encode("FLAC")
        _, expected = read(content, "a.flac")
        stated = bytes([content[21] & 0xF0]) + struct.pack(">I", n_stated)
        facts, waveform = read(content[:21] + stated + content[26:], "a.flac")
        assert facts.faults == ()
        np.testing.assert_array_equal(waveform, expected)

    @staticmethod
    def size_of(container: str) -> tuple[bytes, int, str]:
        """Return a file, and where and how it states the size of its samples."""
        content = encode(container)
        if container == "AU":
            return content, 8, ">I"
        if container == "RF64":
            return content, content.index(b"ds64") + 16, "<Q"
        name, to_size, form = {
            "WAV": (b"data", 4, "<I"),
            "WAVEX": (b"data", 4, "<I"),
            "AIFF": (b"SSND", 4, ">I"),
            "CAF": (b"data", 4, ">Q"),
            "W64": (b"data", 16, "<Q"),
        }[container]
        return content, content.rindex(name) + to_size, form

    @staticmethod
    def with_size(content: bytes, at: int, form: str, size: int) -> bytes:
        return content[:at] + struct.pack(form, size) + content[at + struct.calcsize(form) :]


@pytest.mark.parametrize("is_stated", [True, False])
@pytest.mark.parametrize("tail", [ID3V1, id3v2(300), APE])
def test_tags_behind_a_flac_are_no_fault(read, is_stated, tail):
    content = encode("FLAC")
    _, expected = read(content, "a.flac")
    stated = content[21:26] if is_stated else bytes([content[21] & 0xF0, 0, 0, 0, 0])
    facts, waveform = read(content[:21] + stated + content[26:] + tail, "a.flac")
    assert facts.faults == ()
    np.testing.assert_array_equal(waveform, expected)


@pytest.mark.parametrize("second", ["WAV", "OGG", "AIFF", "AU"])
def test_whatever_is_joined_to_a_flac_is_read_as_well(read, second):
    facts, waveform = read(encode("FLAC") + ID3V1 + encode(second), "a.flac")
    assert facts.faults == ()
    assert len(waveform) == 2 * len(MUSIC)


@pytest.mark.parametrize("n_bytes", [3000, 400_000])
def test_bytes_behind_a_flac_are_told(read, n_bytes):
    content = encode("FLAC")
    _, expected = read(content, "a.flac")
    tail = np.random.default_rng(1).bytes(n_bytes)
    facts, waveform = read(content + tail, "a.flac")
    assert facts.faults == ("left_over",)
    assert facts.detail.startswith(f"{n_bytes} bytes belong to no part of it and are left out")
    np.testing.assert_array_equal(waveform, expected)


@pytest.mark.parametrize("container", ["OGG", "FLAC", "MP3", "WAV"])
@pytest.mark.parametrize("tail", [ID3V1, bytes(3000), b"\x9c" * 100_000], ids=["ID3v1", "zeros", "others"])
def test_bytes_behind_the_end_quarantine_nothing(read, container, tail):
    content = encode(container)
    _, expected = read(content, "a")
    facts, waveform = read(content + tail, "a")
    assert set(facts.faults) <= {"left_over"}
    np.testing.assert_array_equal(waveform, expected)


def test_hundreds_of_links_are_read_one_after_the_other(read):
    one = encode("OGG", MUSIC[:2000])
    facts, _ = read(300 * one, "a.ogg")
    assert facts.faults == ()
    assert facts.n_samples == 300 * 2000


def test_a_file_that_shrinks_meanwhile_is_lacking(tmp_path):
    path = tmp_path / "a.mp3"
    content = uncounted(mp3(samples=np.tile(MUSIC, 5)))
    path.write_bytes(content)
    with open_audio(path) as file:
        path.write_bytes(content[: len(content) // 2])
        decoded_s = sum(len(block) for block in file.sample_blocks()) / 44_100
        assert decoded_s == pytest.approx(7.5, abs=0.2)
        assert file.lacking_s == pytest.approx(15 - decoded_s, abs=0.1)

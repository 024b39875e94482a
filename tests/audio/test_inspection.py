"""Inspection: facts and hashes of sound files, and every fault that a file can have."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_pipeline.audio import inspect_audio, inspection, io
from genre_pipeline.audio.containers import audio_parts
from genre_pipeline.audio.parts import Part
from genre_pipeline.ingest.near_duplicates import find_near_duplicates
from invented_music import play

FORMATS = ("wav", "flac", "ogg", "mp3", "aiff", "au", "opus", "rf64", "wavex")
OPTIONS = {
    "opus": {"format": "OGG", "subtype": "OPUS", "sample_rate": 48_000},
    "rf64": {"format": "RF64"},
    "wavex": {"format": "WAVEX"},
}


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("extension", FORMATS)
def test_sound_file(write, extension, n_channels):
    path = write(f"a.{extension}", n_channels=n_channels, duration_s=1.5, **OPTIONS.get(extension, {}))
    facts = inspect_audio(path)
    assert facts.faults == ()
    assert facts.detail == ""
    assert facts.duration_s == pytest.approx(1.5)
    assert facts.sample_rate == (48_000 if extension == "opus" else 22_050)
    assert facts.n_samples == 1.5 * facts.sample_rate
    assert facts.n_channels == n_channels
    assert facts.format == {"opus": "OGG"}.get(extension, extension.upper())
    assert facts.n_bytes == path.stat().st_size
    assert facts.content_hash == hashlib.md5(path.read_bytes()).hexdigest()
    assert len(facts.audio_hash) == 32


@pytest.mark.parametrize("share", [0.99, 0.6])
@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("extension", FORMATS)
def test_truncated(write, extension, n_channels, share):
    path = write(f"a.{extension}", n_channels=n_channels, duration_s=30, **OPTIONS.get(extension, {}))
    cut(path, share)
    facts = inspect_audio(path)
    assert "truncated" in facts.faults
    assert facts.duration_s < 30
    assert facts.detail


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3", "aiff", "au", "rf64"])
@pytest.mark.parametrize("share", [0.1, 0.01, 0.001])
def test_little_left(write, extension, share):
    path = write(f"a.{extension}", duration_s=5, **OPTIONS.get(extension, {}))
    cut(path, share)
    assert {"truncated", "unreadable"} & set(inspect_audio(path).faults)


@pytest.mark.parametrize("extension", ["wav", "aiff", "au"])
def test_one_missing_byte_is_named(write, extension):
    path = write(f"a.{extension}")
    path.write_bytes(path.read_bytes()[:-1])
    facts = inspect_audio(path)
    assert facts.faults == ("wrong_size",)
    assert facts.detail == "its last 1 bytes are missing"


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_damaged_part_way(write, extension):
    path = write(f"a.{extension}", duration_s=5)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(content)
    facts = inspect_audio(path)
    assert facts.faults == ("truncated",)
    assert 0 < facts.duration_s < 5


@pytest.mark.parametrize(("n_more", "fault"), [(1, "wrong_size"), (2205, "truncated")])
def test_flac_that_ends_between_frames(write, n_more, fault):
    path = write("a.flac")
    n_samples = inspect_audio(path).n_samples
    state_flac_length(path, n_samples + n_more)
    facts = inspect_audio(path)
    assert facts.faults == (fault,)
    assert facts.n_samples == n_samples


def state_flac_length(path: Path, n_samples: int) -> None:
    content = bytearray(path.read_bytes())
    content[22:26] = struct.pack(">I", n_samples)
    path.write_bytes(content)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wav_of_unstated_length_is_whole(write, size):
    path = write("a.wav")
    content = bytearray(path.read_bytes())
    where = content.index(b"data") + 4
    content[where : where + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    facts = inspect_audio(path)
    assert facts.faults == ()
    assert facts.n_samples == 22_050


def test_au_of_unstated_length_is_whole(write):
    path = write("a.au")
    content = bytearray(path.read_bytes())
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)
    assert inspect_audio(path).faults == ()


@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("container", ["WAV", "AU", "AIFF"])
def test_both_byte_orders(write, container, endian):
    path = write("a", format=container, endian=endian, subtype="PCM_16")
    assert inspect_audio(path).faults == ()
    cut(path, 0.9)
    assert inspect_audio(path).faults == ("truncated",)


def test_flac_of_unstated_length_is_whole(write):
    path = write("a.flac")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    facts = inspect_audio(path)
    assert facts.faults == ()
    assert facts.n_samples == 22_050


def test_mp3_behind_a_tag_and_without_its_count(write):
    path = write("a.mp3", duration_s=5)
    content = path.read_bytes()
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 10]) + bytes(266)
    path.write_bytes(tag + content)
    assert inspect_audio(path).faults == ()
    cut(path, 0.6)
    assert inspect_audio(path).faults == ("truncated",)
    # Without the encoder's count, nothing promises more than what is there.
    path.write_bytes(content.replace(b"Info", b"None").replace(b"Xing", b"None"))
    assert inspect_audio(path).faults == ()


def test_ogg_without_its_last_page(write):
    path = write("a.ogg", duration_s=5)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"OggS")])
    facts = inspect_audio(path)
    assert facts.faults == ("truncated",)
    assert "Ogg page" in facts.detail


def test_ogg_without_any_audio_page(write):
    path = write("a.ogg", n_channels=2)
    content = path.read_bytes()
    pages = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
    path.write_bytes(content[: pages[2]])
    facts = inspect_audio(path)
    assert facts.faults == ("truncated",)
    assert facts.n_samples == 0


def test_header_that_is_cut(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0\0\0")
    assert [part.cut for part in audio_parts(path)] == ["its header is cut"]


@pytest.mark.parametrize("content", [b"RIFF\x04\0\0\0WAVEjunk\x02\0\0\0ab", b"Not music at all.", b""])
def test_headers_without_what_is_looked_for(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert list(audio_parts(path)) == [Part()]


def test_missing(tmp_path):
    facts = inspect_audio(tmp_path / "gone.wav")
    assert facts.faults == ("unreadable",)
    assert facts.detail.startswith("there is no such file")
    assert facts.content_hash == ""


@pytest.mark.parametrize("extension", ["wav", "mp3", "au", "raw", "txt"])
def test_not_audio(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    path.write_text("Not music at all.\n" * 200)
    facts = inspect_audio(str(path))
    assert facts.faults == ("unreadable",)
    assert str(tmp_path) not in facts.detail
    assert facts.n_bytes == 3600
    assert facts.content_hash
    assert facts.audio_hash == ""


def test_no_bytes(tmp_path):
    path = tmp_path / "a.mp3"
    path.touch()
    assert inspect_audio(path).faults == ("empty",)


@pytest.mark.parametrize("extension", ["wav", "ogg"])
def test_no_samples(write, extension):
    facts = inspect_audio(write(f"a.{extension}", np.zeros(0)))
    assert facts.faults == ("empty",)
    assert facts.sample_rate == 22_050
    assert facts.audio_hash == ""
    assert facts.duration_s == 0


@pytest.mark.parametrize(
    ("samples", "detail"),
    [
        (np.zeros(1000), "nothing at all"),
        (np.tile([1, -1], 500) * 5e-5, "-86 dBFS"),
        (np.full(1000, 0.005), "nothing at all"),
        (np.tile([[0.5, -0.5], [-0.25, 0.25]], (500, 1)), "nothing at all"),
    ],
    ids=["zeros", "faint", "constant", "opposite channels"],
)
def test_silent(write, samples, detail):
    facts = inspect_audio(write("a.wav", samples, subtype="FLOAT"))
    assert facts.faults == ("silent",)
    assert detail in facts.detail


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -3e38])
def test_samples_that_no_music_has(write, value):
    samples = np.tile([0.5, -0.5], 1000)
    samples[[3, 7]] = value
    facts = inspect_audio(write("a.wav", samples, subtype="FLOAT"))
    assert facts.faults == ("non_finite",)
    assert facts.detail.startswith("2 samples")


def test_samples_beyond_full_scale_are_music(write):
    assert inspect_audio(write("a.wav", np.tile([30_000.0, -30_000.0], 1000), subtype="FLOAT")).faults == ("clipped",)


def test_dc_offset(write):
    facts = inspect_audio(write("a.wav", np.tile([0.5, -0.25], 1000), subtype="FLOAT"))
    assert facts.faults == ("dc_offset",)
    assert "+0.125" in facts.detail


@pytest.mark.parametrize("block_samples", [1, 3, 1000, 65_536])
@pytest.mark.parametrize(("run", "clips"), [(3, False), (4, True), (50, True)])
def test_clipped(write, monkeypatch, block_samples, run, clips):
    wave = np.concatenate([np.ones(run), np.linspace(0.9, -0.9, 50), -np.ones(run), np.linspace(-0.9, 0.9, 50)])
    monkeypatch.setattr(io, "_BLOCK_SAMPLES", block_samples)
    facts = inspect_audio(write("a.wav", np.tile(wave, 10)))
    assert facts.faults == (("clipped",) if clips else ())


def test_several_faults_have_a_line_each(write):
    path = write("a.wav", np.full(1000, 0.5))
    cut(path, 0.9)
    facts = inspect_audio(path)
    assert facts.faults == ("truncated", "silent", "dc_offset")
    assert len(facts.detail.splitlines()) == 3


def test_acoustic_fingerprint_sees_through_the_encoding(write):
    music = play(0)
    wav, flac, mp3, ogg = (inspect_audio(write(f"a.{extension}", music)) for extension in ("wav", "flac", "mp3", "ogg"))
    assert wav.acoustic == flac.acoustic
    names = ["flac", "mp3", "ogg", "wav"]
    pairs = find_near_duplicates(names, [flac.acoustic, mp3.acoustic, ogg.acoustic, wav.acoustic])
    assert len(pairs) == 6


def test_acoustic_fingerprint_is_of_the_averaged_channels(write):
    music = play(0)
    mono = inspect_audio(write("a.wav", music, subtype="FLOAT"))
    stereo = inspect_audio(write("b.wav", np.stack([music, music], axis=1), subtype="FLOAT"))
    assert stereo.acoustic == mono.acoustic


@pytest.mark.parametrize("samples", [np.zeros(50_000), play(0)[:20_000]], ids=["silent", "short"])
def test_no_acoustic_fingerprint(write, samples):
    assert inspect_audio(write("a.wav", samples)).acoustic == b""


def test_audio_hash_sees_through_the_container(write):
    # Integers: given floats, libsndfile rounds differently for FLAC and for WAV.
    samples = np.random.default_rng(0).integers(-9000, 9000, (5000, 2), dtype=np.int16)
    wav, flac, au = (inspect_audio(write(f"a.{extension}", samples)) for extension in ("wav", "flac", "au"))
    assert wav.audio_hash == flac.audio_hash == au.audio_hash
    assert len({wav.content_hash, flac.content_hash, au.content_hash}) == 3


def test_audio_hash_tells_rates_and_samples_apart(write):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 5000)
    one = inspect_audio(write("a.wav", samples))
    faster = inspect_audio(write("b.wav", samples, sample_rate=44_100))
    samples[2500] += 2 / 32_768
    other = inspect_audio(write("c.wav", samples))
    assert len({one.audio_hash, faster.audio_hash, other.audio_hash}) == 3


@pytest.mark.parametrize("block_samples", [7, 1024])
def test_facts_do_not_depend_on_the_block_length(write, monkeypatch, block_samples):
    path = write("a.wav", n_channels=2, duration_s=3)
    expected = inspect_audio(path)
    assert expected.acoustic
    monkeypatch.setattr(io, "_BLOCK_SAMPLES", block_samples)
    assert inspect_audio(path) == expected


def test_file_that_vanishes_meanwhile(write, monkeypatch):
    def vanish(path):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(inspection, "_hash_bytes", vanish)
    assert inspect_audio(write("a.wav")).faults == ("unreadable",)


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)
    for extension in ("wav", "flac", "ogg", "mp3", "aiff", "au"):
        soundfile.write(folder / f"a.{extension}", samples, 22_050)
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@settings(
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    extension=st.sampled_from([".wav", ".flac", ".ogg", ".mp3", ".aiff", ".au"]),
    places=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    junk=st.binary(max_size=16),
)
def test_no_damage_makes_inspection_raise(whole_files, tmp_path, extension, places, junk):
    length, where = places
    content = bytearray(whole_files[extension])
    content = content[: int(length * len(content))]
    start = int(where * len(content))
    content[start : start + len(junk)] = junk
    path = tmp_path / f"a{extension}"
    path.write_bytes(content)
    facts = inspect_audio(path)
    assert len(facts.detail.splitlines()) == len(facts.faults)
    assert facts.duration_s >= 0

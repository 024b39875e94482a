"""Reading waveforms: the samples that librosa gives, and one clear message for every bad file."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genre_pipeline.audio import io, open_audio, read_waveform
from genre_pipeline.audio.io import downmix, waveform_blocks
from genre_pipeline.errors import AudioError

# librosa imports audioread, and that the modules which Python 3.13 dropped.
pytestmark = pytest.mark.filterwarnings("ignore:'(aifc|audioop|sunau)' is deprecated:DeprecationWarning")

FORMATS = ("wav", "flac", "ogg", "mp3", "aiff", "au")


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_samples_are_those_of_librosa(write, extension, n_channels, rate):
    librosa = pytest.importorskip("librosa")
    path = write(f"a.{extension}", duration_s=1.7, sample_rate=rate, n_channels=n_channels)
    expected, _ = librosa.load(path, sr=22_050, res_type="soxr_hq")
    waveform = read_waveform(path, sample_rate=22_050)
    assert waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, expected)


def test_six_channels_and_upsampling_are_those_of_librosa(write):
    librosa = pytest.importorskip("librosa")
    path = write("surround.wav", duration_s=0.3, sample_rate=8000, n_channels=6)
    expected, _ = librosa.load(path, sr=22_050, res_type="soxr_hq")
    np.testing.assert_array_equal(read_waveform(str(path), sample_rate=22_050), expected)


@pytest.mark.parametrize("block_samples", [1000, 10_007, 16_384])
def test_mp3_read_in_blocks_is_the_mp3_read_at_once(write, monkeypatch, block_samples):
    path = write("a.mp3", duration_s=3)
    with soundfile.SoundFile(path) as file:
        whole = file.read(dtype="float32")
    blocks = waveform_blocks(path, sample_rate=22_050, block_samples=block_samples)
    np.testing.assert_array_equal(np.concatenate(list(blocks)), whole)
    monkeypatch.setattr(io, "_BLOCK_SAMPLES", block_samples)
    with open_audio(path) as file:
        np.testing.assert_array_equal(np.concatenate(list(file.sample_blocks()))[:, 0], whole)


@pytest.fixture(scope="module")
def mixes(tmp_path_factory) -> dict[str, Path]:
    """The same two seconds of stereo in every format."""
    folder = tmp_path_factory.mktemp("mixes")
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (88_200, 2))
    for extension in FORMATS:
        soundfile.write(folder / f"a.{extension}", samples, 44_100)
    return {extension: folder / f"a.{extension}" for extension in FORMATS}


@pytest.mark.parametrize("extension", FORMATS)
@settings(derandomize=True, deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_clip_is_cut_out_of_the_whole_before_it_is_resampled(mixes, extension, data):
    start = data.draw(st.integers(0, 88_199), label="start")
    n_samples = data.draw(st.none() | st.integers(1, 88_200 - start), label="n_samples")
    sample_rate = data.draw(st.sampled_from([44_100, 22_050, 16_000, 48_000]), label="sample_rate")
    block_samples = data.draw(st.sampled_from([997, 16_384, 65_536]), label="block_samples")
    whole = read_waveform(mixes[extension], sample_rate=44_100)
    part = whole[start:] if n_samples is None else whole[start : start + n_samples]
    expected = soxr.resample(part, 44_100, sample_rate, quality="HQ") if sample_rate != 44_100 else part
    clip = {"sample_rate": sample_rate, "start_sample": start, "n_samples": n_samples}

    waveform = read_waveform(mixes[extension], **clip)
    assert len(waveform) == -(-len(part) * sample_rate // 44_100)
    # soxr rounds the length, librosa and this project round it up.
    n_common = min(len(expected), len(waveform))
    assert n_common >= len(waveform) - 1
    np.testing.assert_array_equal(waveform[:n_common], expected[:n_common])

    blocks = list(waveform_blocks(mixes[extension], block_samples=block_samples, **clip))
    np.testing.assert_array_equal(np.concatenate(blocks), waveform)
    assert all(len(block) for block in blocks)


@pytest.mark.parametrize("sample_rate", [44_100, 22_050])
def test_long_files_come_in_short_blocks(write, sample_rate):
    path = write("mix.wav", duration_s=20, sample_rate=44_100)
    lengths = [len(block) for block in waveform_blocks(path, sample_rate=sample_rate, block_samples=10_000)]
    assert sum(lengths) == 20 * sample_rate
    assert max(lengths) < 20_000


def test_what_follows_a_clip_is_not_decoded(write):
    path = write("a.flac", duration_s=4)
    sound = read_waveform(path, sample_rate=22_050)
    path.write_bytes(path.read_bytes()[:-5000])
    clip = read_waveform(path, sample_rate=22_050, start_sample=1000, n_samples=30_000)
    np.testing.assert_array_equal(clip, sound[1000:31_000])
    with pytest.raises(AudioError, match="stopped part-way"):
        read_waveform(path, sample_rate=22_050, start_sample=1000)


@pytest.mark.parametrize(
    ("clip", "wanted"),
    [
        ({"start_sample": 22_050}, "from sample 22050 on"),
        ({"start_sample": 22_000, "n_samples": 51}, "up to sample 22051"),
        ({"start_sample": 40_000, "n_samples": 10}, "up to sample 40010"),
    ],
)
def test_clip_beyond_the_end(write, clip, wanted):
    with pytest.raises(AudioError, match=rf"a\.wav: expected audio {wanted}, but it holds 22050 samples.*[Ii]ngest"):
        read_waveform(write("a.wav"), sample_rate=16_000, **clip)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6])
def test_downmix_is_the_mean(n_channels):
    block = np.random.default_rng(0).uniform(-1, 1, (500, n_channels)).astype(np.float32)
    mono = downmix(block)
    assert mono.dtype == np.float32
    np.testing.assert_allclose(mono, block.mean(axis=1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 441, 44_101])
def test_length_is_rounded_up(write, n_samples):
    path = write("a.wav", np.full(n_samples, 0.25), sample_rate=44_100)
    assert read_waveform(path, sample_rate=22_050).shape == (-(-n_samples // 2),)


def test_flac_of_unstated_length_is_read(write):
    path = write("a.flac")
    forget_flac_length(path)
    assert read_waveform(path, sample_rate=22_050).shape == (22_050,)


def forget_flac_length(path: Path) -> None:
    content = bytearray(path.read_bytes())
    # STREAMINFO begins at byte 8; its total of samples is the last 36 bits of bytes 10 to 17.
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)


def test_missing_file(tmp_path):
    with pytest.raises(AudioError, match=r"gone\.wav: there is no such file\. Restore it"):
        read_waveform(tmp_path / "gone.wav", sample_rate=22_050)


def test_folder(tmp_path):
    with pytest.raises(AudioError, match="it is a folder. Name files, or leave it out"):
        read_waveform(tmp_path, sample_rate=22_050)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match=r"pipe\.wav.*not a regular file"):
        read_waveform(tmp_path / "pipe.wav", sample_rate=22_050)


def test_file_that_may_not_be_read(write, monkeypatch):
    path = write("secret.wav")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioError, match=r"secret\.wav: cannot be opened \(Permission denied\)"):
        read_waveform(path, sample_rate=22_050)


@pytest.mark.parametrize("content", [b"Not music at all.\n" * 300, b"", bytes(5000)])
@pytest.mark.parametrize("extension", [*FORMATS, "snd", "txt"])
def test_not_audio(tmp_path, extension, content):
    path = tmp_path / f"a.{extension}"
    path.write_bytes(content)
    with pytest.raises(
        AudioError, match=rf"a\.{extension}: is not an audio file.*(Replace|convert it) .* leave it out"
    ):
        open_audio(path)


def test_samples_without_header(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(AudioError, match=r"a\.raw: holds samples without a header.*Convert"):
        open_audio(path)


def test_no_samples(write):
    path = write("a.wav", np.zeros(0))
    with pytest.raises(AudioError, match=r"a\.wav: .*no samples"):
        read_waveform(path, sample_rate=22_050)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(write, value):
    path = write("a.wav", np.array([0.1, value, 0.2]), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: .*NaN or infinity"):
        read_waveform(path, sample_rate=22_050)


def test_broken_part_way(write):
    path = write("a.flac")
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(AudioError, match=r"a\.flac: decoding stopped part-way"):
        read_waveform(path, sample_rate=22_050)

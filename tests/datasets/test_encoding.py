import numpy as np
import pytest
import soundfile

from genre_pipeline.demo.encoding import ENCODINGS, with_ogg_serial, write_audio

SAMPLE_RATE = 22050
N_SAMPLES = 70000  # more than one block of writing


@pytest.fixture
def waveform():
    time_s = np.arange(N_SAMPLES) / SAMPLE_RATE
    return 0.4 * np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 660 * time_s)])


@pytest.mark.parametrize("suffix", ENCODINGS)
def test_what_is_written_can_be_read(tmp_path, waveform, suffix):
    path = tmp_path / f"tone{suffix}"
    write_audio(path, waveform, SAMPLE_RATE)
    decoded, sample_rate = soundfile.read(path)
    assert sample_rate == SAMPLE_RATE
    assert decoded.shape == (N_SAMPLES, 2)
    middle = slice(5000, 60000)
    assert np.corrcoef(decoded[middle, 0], waveform[0, middle])[0, 1] > 0.99


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_lossless_formats_have_sixteen_bits(tmp_path, waveform, suffix):
    path = tmp_path / f"tone{suffix}"
    write_audio(path, waveform[:1], SAMPLE_RATE)
    assert soundfile.info(path).subtype == "PCM_16"
    np.testing.assert_allclose(soundfile.read(path)[0], waveform[0], atol=1 / 32768)


@pytest.mark.parametrize("suffix", ENCODINGS)
def test_bytes_depend_on_the_samples_alone(tmp_path, waveform, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for path in paths:
        write_audio(path, waveform, SAMPLE_RATE)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_ogg_serial_and_checksums_are_as_libsndfile_would_write_them(tmp_path, waveform):
    path = tmp_path / "tone.ogg"
    soundfile.write(path, waveform[0], SAMPLE_RATE, format="OGG", subtype="VORBIS")
    stream = path.read_bytes()
    serial = int.from_bytes(stream[14:18], "little")
    changed = with_ogg_serial(stream, serial ^ 1)
    assert changed != stream
    # Back at the original number, the checksums that libsndfile wrote must come out again.
    assert with_ogg_serial(changed, serial) == stream


def test_unknown_format(tmp_path, waveform):
    with pytest.raises(KeyError, match="aiff"):
        write_audio(tmp_path / "tone.aiff", waveform, SAMPLE_RATE)

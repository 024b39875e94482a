"""Interventions: what each does to signals of which one knows what must come out."""

import pickle
import sys

import numpy as np
import pytest

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import AudioError, ConfigError
from genre_pipeline.interventions import INTERVENTIONS, Intervention, InterventionSpec
from genre_pipeline.interventions.identity import IdentityBlock

RATE = 22_050
# One of each kind, with its parameters.
EXAMPLES = {
    "identity": {},
    "gain": {"gain_db": -6.0},
    "high_pass": {"cutoff_hz": 20.0},
    "noise": {"snr_db": 20.0},
    "excerpt": {"duration_s": 1.0},
    "mp3": {"bitrate_kbps": 64.0},
    "tempo": {"percent": 6.0},
    "pitch": {"n_semitones": 1.0},
}


def make(kind, **parameters):
    spec = INTERVENTIONS[kind]
    return Intervention(spec, parse_block(spec.block, {"kind": kind, **parameters}, key="interventions.x"))


def tone(hz, duration_s=2.0, rate=RATE, level=0.5):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(duration_s * rate)) / rate)).astype(np.float32)


def loudest_hz(waveform, rate=RATE):
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(np.fft.rfftfreq(len(waveform), 1 / rate)[spectrum.argmax()])


def test_every_kind_has_an_example():
    assert sorted(EXAMPLES) == INTERVENTIONS.names()


@pytest.mark.parametrize("kind", EXAMPLES)
class TestEveryKind:
    def test_the_clip_is_kept_as_it_is_and_the_result_is_a_waveform(self, kind):
        clip = tone(440.0)
        before = clip.copy()
        clip.flags.writeable = False
        changed = make(kind, **EXAMPLES[kind])("hash", clip, RATE)
        assert np.array_equal(clip, before)
        assert changed.dtype == np.float32
        assert changed.ndim == 1
        assert np.isfinite(changed).all()

    def test_it_is_the_same_each_time(self, kind):
        change = make(kind, **EXAMPLES[kind])
        assert np.array_equal(change("hash", tone(440.0), RATE), change("hash", tone(440.0), RATE))

    def test_a_worker_process_can_have_it(self, kind):
        change = make(kind, **EXAMPLES[kind])
        sent = pickle.loads(pickle.dumps(change))
        assert sent.fingerprint == change.fingerprint
        assert np.array_equal(sent("hash", tone(440.0), RATE), change("hash", tone(440.0), RATE))

    def test_it_says_what_it_does(self, kind):
        assert make(kind, **EXAMPLES[kind]).block.label


def test_fingerprints_follow_the_parameters():
    marks = {make("gain", gain_db=gain).fingerprint for gain in (-6.0, 6.0)} | {make("identity").fingerprint}
    assert len(marks) == 3


def test_doing_nothing_does_nothing():
    assert np.array_equal(make("identity")("hash", tone(440.0), RATE), tone(440.0))


@pytest.mark.parametrize("broken", [np.empty(0, dtype=np.float32), np.array([0.0, np.nan], dtype=np.float32)])
def test_what_leaves_no_waveform_is_an_error_of_the_clip(broken):
    spec = InterventionSpec("broken", IdentityBlock, lambda *_: broken, version=1)
    with pytest.raises(AudioError, match="left no sample, or samples that are not finite"):
        Intervention(spec, IdentityBlock(kind="broken"))("hash", tone(440.0), RATE)


class TestGain:
    def test_twenty_decibels_are_a_factor_of_ten(self):
        assert np.allclose(make("gain", gain_db=-20.0)("hash", tone(440.0), RATE), tone(440.0) / 10)

    def test_full_scale_is_the_limit(self):
        louder = make("gain", gain_db=20.0)("hash", tone(440.0), RATE)
        assert louder.max() == 1.0
        assert louder.min() == -1.0


class TestHighPass:
    @pytest.mark.parametrize(("hz", "decibels", "tolerance"), [(440.0, 0.0, 0.01), (20.0, -3.01, 0.1), (5.0, -48.2, 1)])
    def test_tones_lose_what_a_butterworth_filter_takes(self, hz, decibels, tolerance):
        clip = tone(hz, 20.0)
        # The second half, where the filter has settled.
        half = len(clip) // 2
        filtered = make("high_pass", cutoff_hz=20.0)("hash", clip, RATE)
        measured = 20 * np.log10(np.std(filtered[half:]) / np.std(clip[half:]))
        assert measured == pytest.approx(decibels, abs=tolerance)

    def test_a_frequency_that_the_clip_cannot_hold_is_refused(self):
        with pytest.raises(AudioError, match=r"cutoff_hz=12000 must be below half of the clip's 22050 Hz"):
            make("high_pass", cutoff_hz=12_000.0)("hash", tone(440.0), RATE)


class TestNoise:
    @pytest.mark.parametrize("snr_db", [0.0, 20.0])
    def test_it_is_as_loud_as_asked(self, snr_db):
        clip = tone(440.0, 10.0)
        noise = make("noise", snr_db=snr_db)("hash", clip, RATE) - clip
        assert 20 * np.log10(np.std(clip) / np.std(noise)) == pytest.approx(snr_db, abs=0.1)

    def test_each_clip_and_each_seed_has_its_own(self):
        change, clip = make("noise", snr_db=0.0), tone(440.0)
        noises = [change(name, clip, RATE) - clip for name in ("one", "another")]
        noises.append(make("noise", snr_db=0.0, seed=1)("one", clip, RATE) - clip)
        assert np.abs(np.corrcoef(noises) - np.eye(3)).max() < 0.05

    def test_silence_is_refused(self):
        with pytest.raises(AudioError, match="silent"):
            make("noise", snr_db=0.0)("hash", np.zeros(10, dtype=np.float32), RATE)


class TestExcerpt:
    def test_the_middle_is_kept(self):
        clip = np.arange(5 * RATE, dtype=np.float32)
        assert np.array_equal(make("excerpt", duration_s=3.0)("hash", clip, RATE), clip[RATE : 4 * RATE])

    def test_a_clip_that_is_no_longer_is_refused(self):
        with pytest.raises(AudioError, match=r"The clip of 2.00 s is no longer than the excerpt of 2 s"):
            make("excerpt", duration_s=2.0)("hash", tone(440.0), RATE)


class TestMP3:
    @pytest.mark.parametrize(("rate", "bitrate_kbps"), [(44_100, 64), (22_050, 64), (22_050, 24), (8_000, 16)])
    def test_the_clip_stays_in_step(self, rate, bitrate_kbps):
        # A sweep correlates with itself in one place only.
        time_s = np.arange(2 * rate) / rate
        clip = (0.5 * np.sin(2 * np.pi * (200.0 + 400.0 * time_s) * time_s)).astype(np.float32)
        coded = make("mp3", bitrate_kbps=bitrate_kbps)("hash", clip, rate)
        assert len(coded) == len(clip)
        assert not np.array_equal(coded, clip)
        lags = range(-1500, 1501)
        middle = slice(3000, len(clip) - 3000)
        matches = [float(clip[middle] @ np.roll(coded, -lag)[middle]) for lag in lags]
        assert abs(lags[int(np.argmax(matches))]) <= 1

    def test_the_bitrate_is_the_one_asked_for(self, monkeypatch):
        import soundfile

        sizes = []

        class Spying(soundfile.SoundFile):
            def __init__(self, file, mode="r", **settings):
                if mode == "r":
                    sizes.append(len(file.getvalue()))
                super().__init__(file, mode, **settings)

        monkeypatch.setattr(soundfile, "SoundFile", Spying)
        make("mp3", bitrate_kbps=64.0)("hash", tone(440.0, 30.0), RATE)
        assert sizes[0] * 8 / 30 / 1000 == pytest.approx(64.0, rel=0.01)

    def test_what_the_standard_does_not_have_is_refused(self):
        with pytest.raises(AudioError, match=r"more than 8 and up to 160 kbit/s, and 320 are wanted"):
            make("mp3", bitrate_kbps=320.0)("hash", tone(440.0), RATE)
        with pytest.raises(AudioError, match=r"MP3 has no sample rate of 96000 Hz, only 48000, .*, 8000"):
            make("mp3", bitrate_kbps=64.0)("hash", tone(440.0, rate=96_000), 96_000)


class TestTempoAndPitch:
    @pytest.mark.parametrize("percent", [6.0, -6.0])
    def test_another_tempo_is_another_length_at_the_same_pitch(self, percent):
        clip = tone(440.0, 3.0)
        changed = make("tempo", percent=percent)("hash", clip, RATE)
        assert len(changed) == pytest.approx(len(clip) / (1 + percent / 100), abs=1)
        assert loudest_hz(changed) == pytest.approx(440.0, abs=1.0)

    def test_events_come_when_they_should(self):
        clip = np.zeros(4 * RATE, dtype=np.float32)
        clicks = np.arange(1, 8) * (RATE // 2)
        clip[clicks] = 0.9
        changed = make("tempo", percent=6.0)("hash", clip, RATE)
        for click in clicks / 1.06:
            near = np.abs(changed[round(click) - 1000 : round(click) + 1000])
            # 5 ms.
            assert abs(int(near.argmax()) - 1000) < 0.005 * RATE

    @pytest.mark.parametrize("n_semitones", [1.0, -1.0])
    def test_another_pitch_is_a_factor_at_the_same_length(self, n_semitones):
        changed = make("pitch", n_semitones=n_semitones)("hash", tone(440.0, 3.0), RATE)
        assert len(changed) == 3 * RATE
        assert loudest_hz(changed) == pytest.approx(440.0 * 2 ** (n_semitones / 12), abs=2.0)

    def test_no_shift_is_no_intervention(self):
        with pytest.raises(ConfigError, match="'identity'"):
            make("pitch", n_semitones=0.0)

    def test_a_machine_without_the_package_is_told(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "python_stretch", None)
        with pytest.raises(ConfigError, match="python-stretch"):
            make("tempo", percent=6.0)("hash", tone(440.0), RATE)


class TestParameters:
    @pytest.mark.parametrize(
        ("kind", "parameters"),
        [
            ("gain", {"gain_db": 500}),
            ("high_pass", {"cutoff_hz": 0}),
            ("noise", {"snr_db": 20, "seed": -1}),
            ("excerpt", {"duration_s": 0}),
            ("mp3", {"bitrate_kbps": 640}),
            ("tempo", {"percent": -80}),
            ("identity", {"gain_db": 1}),
        ],
    )
    def test_nonsense_is_refused(self, kind, parameters):
        with pytest.raises(ConfigError, match=r"interventions\.x\."):
            make(kind, **parameters)

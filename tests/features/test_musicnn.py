"""Layers of musicnn: the networks against TensorFlow's numbers, and where the weights are."""

import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from genre_pipeline.blocks import parse_block
from genre_pipeline.errors import ConfigError, FeatureError
from genre_pipeline.features import FEATURES
from genre_pipeline.features.log_mel import LogMelBlock
from genre_pipeline.features.pretrained import musicnn as module
from genre_pipeline.features.pretrained import weights as weights_module
from genre_pipeline.features.pretrained.musicnn import MusicnnBlock
from genre_pipeline.features.pretrained.weights import checksum, find_weights
from genre_pipeline.features.segments import segment_tracks
from genre_pipeline.stores.extraction import extract
from genre_pipeline.stores.store import spec_hash
from genre_pipeline.work.backends import Workers
from pretrained_weights import needs_weights

SPEC = FEATURES["musicnn"]
LAYERS = {
    "MSD_musicnn": {"penultimate": 200, "taggram": 50, "mean_pool": 753, "max_pool": 753},
    "MTT_musicnn": {"penultimate": 200, "taggram": 50, "mean_pool": 753, "max_pool": 753},
    "MSD_vgg": {"pool5": 256, "taggram": 50},
    "MTT_vgg": {"pool5": 256, "taggram": 50},
}
EVERY_LAYER = [(weights, layer) for weights, layers in LAYERS.items() for layer in layers]
# Of two patches, made by the code of musicnn 0.1.0 with TensorFlow 2.21: see _patches.
ORIGINAL = np.load(Path(__file__).with_name("musicnn_outputs.npz"))


def make_block(**changes):
    values = {"kind": "musicnn", "weights": "MSD_musicnn", "layer": "penultimate", **changes}
    return parse_block(MusicnnBlock, values, key="features.mine")


def _patches():
    """Noise that is weaker in higher bands, and silence."""
    noise = np.random.default_rng(17).random((187, 96), dtype=np.float32) * np.linspace(4, 1, 96, dtype=np.float32)
    return torch.from_numpy(np.stack([noise.T, np.zeros((96, 187), np.float32)]))


def noise(n_samples, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


@needs_weights
class TestNumbers:
    @pytest.mark.parametrize(("weights", "layer"), EVERY_LAYER)
    def test_layers_are_those_of_the_original(self, weights, layer):
        with torch.inference_mode():
            found = module._network(weights, None, "cpu")(_patches())[layer].numpy()
        expected = ORIGINAL[f"{weights}.{layer}"]
        assert found.shape == expected.shape == (2, LAYERS[weights][layer])
        # max_pool reaches 59.
        assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())

    def test_the_front_end_is_the_logarithm_of_librosas_mel_energies(self, monkeypatch):
        import librosa

        given = []

        def keep(patches):
            given.append(patches.numpy())
            return {"penultimate": torch.zeros(len(patches), 200)}

        monkeypatch.setattr(module, "_network", lambda *_: keep)
        waveform = noise(16_000 * 7)
        SPEC.extract(waveform, make_block())
        energies = librosa.feature.melspectrogram(y=waveform, sr=16_000, n_fft=512, hop_length=256, n_mels=96)
        levels = np.log10(1 + 10_000 * energies)
        expected = np.stack([levels[:, start : start + 187] for start in (0, 187)])
        np.testing.assert_allclose(np.concatenate(given), expected, atol=1e-5)

    def test_loud_music_stays_finite(self):
        # Its energies times 10,000 are beyond half precision.
        loud = np.sign(noise(48_000)).astype(np.float32)
        assert np.isfinite(SPEC.extract(loud, make_block(layer="max_pool"))).all()

    def test_a_patch_does_not_depend_on_the_others(self):
        waveform = noise(16_000 * 10)
        together = SPEC.extract(waveform, make_block())
        assert together.shape == (200, 3)
        overlapping = SPEC.extract(waveform, make_block(hop_length=47_872 // 11))
        np.testing.assert_array_equal(overlapping[:, ::11][:, :3], together)

    @pytest.mark.parametrize("hop_length", [256 * 50, 47_872, 256 * 400])
    @pytest.mark.parametrize("n_samples", [47_616, 60_416, 95_487, 95_488, 150_016])
    def test_the_number_of_patches_is_known_from_the_length(self, monkeypatch, hop_length, n_samples):
        monkeypatch.setattr(
            module, "_network", lambda *_: lambda patches: {"penultimate": torch.zeros(len(patches), 200)}
        )
        block = make_block(hop_length=hop_length)
        found = SPEC.extract(noise(n_samples), block).shape[1]
        frames = 1 + n_samples // 256
        assert found == block.n_frames(n_samples) == 1 + (frames - 187) // (hop_length // 256)

    def test_a_clip_shorter_than_a_patch_is_refused(self):
        assert make_block().n_frames(47_615) == 0
        with pytest.raises(FeatureError, match="too short: expected at least 47616 samples, got 47615"):
            SPEC.extract(noise(47_615), make_block())

    def test_a_process_loads_weights_once(self, monkeypatch):
        loaded = []

        def find(name, path):
            loaded.append(name)
            return find_weights(name, path)

        monkeypatch.setattr(module, "find_weights", find)
        module._load.cache_clear()
        with ThreadPoolExecutor(4) as pool:
            results = {
                each.tobytes() for each in pool.map(lambda _: SPEC.extract(noise(48_000), make_block()), range(4))
            }
        assert loaded == ["MSD_musicnn"]
        assert len(results) == 1

    def test_processes_and_threads_store_the_same_bytes(self, tmp_path, make_tracks, write_track):
        rows = [{**write_track(f"t{n}", seed=n, n_samples=26_000)} for n in range(3)]
        stored = {
            backend: extract(
                make_tracks(rows),
                root=tmp_path / "audio",
                spec=SPEC,
                block=make_block(),
                folder=tmp_path / backend,
                workers=Workers(backend, 2),
                shard_size=1,
            ).store
            for backend in ("serial", "threads", "processes")
        }
        (digest,) = {tuple(store.index["crc32"]) for store in stored.values()}
        assert len(digest) == 3

    def test_a_longer_recording_takes_no_more_memory(self, monkeypatch):
        seen = []
        monkeypatch.setattr(
            module, "_network", lambda *_: lambda patches: {"penultimate": torch.zeros(len(patches), 200)}
        )
        receive = module._Patches.receive

        def watched(patches, spectra):
            receive(patches, spectra)
            seen.append(len(patches._waiting))

        monkeypatch.setattr(module._Patches, "receive", watched)
        SPEC.extract(noise(16_000 * 120), make_block())
        assert max(seen) < 187

    def test_the_bins_of_a_taggram_are_its_tags(self):
        assert SPEC.bins(make_block(layer="taggram")).names[:2] == ("rock", "pop")
        mtt = SPEC.bins(make_block(layer="taggram", weights="MTT_vgg"))
        assert (len(mtt.names), mtt.names[21], mtt.names[-1]) == (50, "no vocals", "choral")
        assert SPEC.bins(make_block()).names == ()


class TestParameters:
    @pytest.mark.parametrize(("weights", "layer"), EVERY_LAYER)
    def test_every_layer_has_its_length(self, weights, layer):
        assert SPEC.n_bins(make_block(weights=weights, layer=layer)) == LAYERS[weights][layer]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"layer": "pool5"}, "MSD_musicnn has no layer 'pool5'; its layers are penultimate, taggram, mean_pool"),
            ({"weights": "MSD_vgg"}, "MSD_vgg has no layer 'penultimate'; its layers are pool5, taggram"),
            ({"weights": "MSD_big"}, "features.mine.weights: got 'MSD_big'"),
            ({"sample_rate": 22_050}, "features.mine.sample_rate: got 22050"),
            ({"hop_length": 1000}, "multiple of 256"),
        ],
    )
    def test_what_cannot_be_is_named(self, changes, message):
        with pytest.raises(ConfigError, match=message):
            make_block(**changes)

    def test_the_fingerprint_depends_on_the_checksum_and_not_on_the_place_of_the_weights(self, monkeypatch):
        block = make_block()
        assert checksum("MSD_musicnn") in block.deciding().values()
        moved = spec_hash(SPEC, make_block(weights_path="/elsewhere"))
        assert spec_hash(SPEC, block) == moved
        monkeypatch.setattr(module, "checksum", lambda _: "other weights")
        assert spec_hash(SPEC, block) != moved

    def test_the_fingerprint_of_another_feature_is_as_it_was(self):
        # Of the commit before the feature was added.
        block = LogMelBlock(
            kind="log_mel",
            sample_rate=22050,
            hop_length=512,
            n_fft=2048,
            n_mels=128,
            segment={"n_frames": 20, "hop_frames": 10, "pad_frames": 3},
        )
        assert spec_hash(FEATURES["log_mel"], block) == "7fafb227a5d97783"

    def test_a_segment_may_be_several_patches_and_a_clip_that_lacks_some_is_padded(self, make_tracks):
        block = make_block(segment={"n_frames": 3, "hop_frames": 3, "pad_frames": 1})
        rows = [{"track_id": f"t{n}", "n_samples": n, "sample_rate": 16_000} for n in (95_487, 95_488, 143_360)]
        assert block.samples_of(3) == 143_360
        result = segment_tracks(make_tracks(rows), block)
        assert result.table["track_id"].tolist() == ["t143360", "t95488"]
        assert result.table["duration_s"].tolist() == pytest.approx([8.976, 8.976])

    def test_a_dataset_of_too_short_clips_is_refused_with_the_length_that_is_needed(self, make_tracks):
        tracks = make_tracks([{"track_id": "a", "n_samples": 47_615, "sample_rate": 16_000}])
        with pytest.raises(FeatureError, match=r"tracks of at least segment\.n_frames=1 frames \(2\.98 s\)"):
            segment_tracks(tracks, make_block())

    def test_licence_and_data_are_stated(self):
        facts = SPEC.pretraining(make_block())
        assert facts.licence.startswith("ISC")
        assert "Million Song Dataset" in facts.trained_on
        assert "may hold test tracks" in facts.overlap
        assert FEATURES["log_mel"].pretraining(None) is None


def write_files(folder, name, index=b"index", data=b"data"):
    folder.mkdir(parents=True)
    (folder / ".index").write_bytes(index)
    (folder / ".data-00000-of-00001").write_bytes(data)


@pytest.fixture
def published(monkeypatch):
    """Published weights of two words."""
    from hashlib import sha256

    hashes = weights_module._Files(sha256(b"index").hexdigest(), sha256(b"data").hexdigest())
    monkeypatch.setitem(weights_module._PUBLISHED, "MSD_vgg", hashes)


@pytest.fixture
def not_installed(monkeypatch):
    def distribution(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights_module, "distribution", distribution)


@pytest.mark.usefixtures("published", "not_installed")
class TestWhereWeightsAre:
    @pytest.mark.parametrize("below", ["MSD_vgg", "musicnn/MSD_vgg"])
    def test_in_a_folder(self, tmp_path, below):
        write_files(tmp_path / below, "MSD_vgg")
        assert find_weights("MSD_vgg", tmp_path) == (b"index", b"data")

    def test_in_a_wheel(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "musicnn.whl", "w") as wheel:
            wheel.writestr("musicnn/MSD_vgg/.index", b"index")
            wheel.writestr("musicnn/MSD_vgg/.data-00000-of-00001", b"data")
        assert find_weights("MSD_vgg", tmp_path / "musicnn.whl") == (b"index", b"data")

    @pytest.mark.parametrize("path", [None, Path("nowhere"), Path("nowhere.whl")])
    def test_nowhere_is_one_line_with_the_command(self, path):
        block = make_block(weights="MSD_vgg", layer="pool5", weights_path=path)
        with pytest.raises(
            ConfigError, match=r"MSD_vgg are .*not installed.*: make pretrained \(pip install --no-deps"
        ) as error:
            SPEC.require(block)
        assert "\n" not in str(error.value)

    def test_altered_ones_are_named(self, tmp_path):
        write_files(tmp_path / "MSD_vgg", "MSD_vgg", data=b"date")
        with pytest.raises(ConfigError, match=r"MSD_vgg in .* altered: expected SHA-256 3a6eb0790f39ac87 of \.data-"):
            find_weights("MSD_vgg", tmp_path)

    def test_an_altered_index_is_named(self, tmp_path):
        write_files(tmp_path / "MSD_vgg", "MSD_vgg", index=b"indexed")
        with pytest.raises(ConfigError, match=r"were altered: expected SHA-256 \w+ of \.index"):
            find_weights("MSD_vgg", tmp_path)

    def test_a_damaged_wheel_is_named(self, tmp_path):
        path = tmp_path / "musicnn.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for file in (".index", ".data-00000-of-00001"):
                wheel.writestr(f"musicnn/MSD_musicnn/{file}", bytes(range(256)) * 40)
        content = bytearray(path.read_bytes())
        content[60:90] = b"\xff" * 30
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"is no wheel of musicnn 0\.1\.0 \(.*make pretrained"):
            find_weights("MSD_musicnn", path)

    def test_a_folder_of_other_things_is_one_line(self, tmp_path):
        (tmp_path / "MSD_vgg").touch()
        with pytest.raises(ConfigError, match="MSD_vgg are not at weights_path=.* and not installed"):
            find_weights("MSD_vgg", tmp_path)
        (tmp_path / "musicnn/MSD_vgg/.index").mkdir(parents=True)
        with pytest.raises(ConfigError, match=r"The weights in .*MSD_vgg cannot be read \(Is a directory\)"):
            find_weights("MSD_vgg", tmp_path)

    def test_a_file_that_is_no_wheel_is_named(self, tmp_path):
        (tmp_path / "musicnn.whl").write_bytes(b"nothing")
        with pytest.raises(ConfigError, match=r"is no wheel of musicnn 0\.1\.0"):
            find_weights("MSD_vgg", tmp_path / "musicnn.whl")

    def test_extraction_begins_with_the_check(self, tmp_path, make_tracks):
        # The track has no file: it would be an error of its own.
        tracks = make_tracks([{"track_id": "a", "audio_hash": "a"}])
        with pytest.raises(ConfigError, match="make pretrained"):
            extract(
                tracks,
                root=tmp_path,
                spec=SPEC,
                block=make_block(weights="MSD_vgg", layer="pool5"),
                folder=tmp_path / "store",
                workers=Workers("serial", 1),
            )
        assert not (tmp_path / "store").exists()


@needs_weights
def test_the_installed_package_is_not_imported():
    import subprocess
    import sys

    code = (
        "import sys; from genre_pipeline.features.pretrained.weights import find_weights;"
        "find_weights('MTT_vgg', None); sys.exit('musicnn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import soundfile

from genre_pipeline.blocks import parse_block
from genre_pipeline.datasets import DATASETS
from genre_pipeline.datasets.demo import DemoBlock, find_clips, official_splits, plan_clips, prepare
from genre_pipeline.errors import ConfigError, DatasetError
from genre_pipeline.ingest.report import log_report

TINY = {"n_genres": 2, "n_clips_per_genre": 2, "n_artists_per_genre": 2, "clip_duration_s": 1.0}


def tiny(path, **changes):
    return DemoBlock(path=path, **{**TINY, **changes})


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    block = DemoBlock(
        path=tmp_path_factory.mktemp("demo") / "demo",
        n_genres=3,
        n_clips_per_genre=4,
        n_artists_per_genre=3,
        clip_duration_s=1.0,
    )
    prepare(block)
    return block


def snapshot(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def plan_table(block):
    rows = [
        {
            "track_id": planned.clip.track_id,
            "genre": planned.clip.genre,
            "artist": planned.clip.artist,
            "album": planned.clip.album,
            "format": planned.clip.path.rpartition(".")[2],
            "delivery": f"{planned.n_channels} channels, rate x {planned.rate_factor}",
            "fault": planned.fault,
        }
        for planned in plan_clips(block)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def full_plan(tmp_path_factory):
    block = DemoBlock(path=tmp_path_factory.mktemp("plan") / "demo")
    table = plan_table(block)
    return table[table["fault"] == ""].assign(split=lambda rows: rows["track_id"].map(official_splits(block)["demo"]))


class TestPlan:
    def test_default_size(self, tmp_path):
        plan = plan_table(DemoBlock(path=tmp_path))
        assert Counter(plan["fault"]) == {"": 120, "truncated": 1, "silent": 1, "duplicate": 1}
        assert set(plan[plan["fault"] == ""].groupby("genre").size()) == {20}
        assert plan["track_id"].is_unique

    def test_artists_stay_in_their_genre_and_albums_with_their_artist(self, full_plan):
        assert set(full_plan.groupby("artist")["genre"].nunique()) == {1}
        assert set(full_plan.groupby("genre")["artist"].nunique()) == {5}
        assert set(full_plan.groupby("album")["artist"].nunique()) == {1}
        assert set(full_plan.groupby("artist")["album"].nunique()) == {2}

    @pytest.mark.parametrize("group", ["genre", "artist"])
    def test_every_genre_and_artist_has_all_formats_equally_often(self, full_plan, group):
        counts = pd.crosstab(full_plan[group], full_plan["format"])
        assert counts.shape[1] == 4
        assert counts.to_numpy().min() == counts.to_numpy().max()

    def test_format_says_nothing_of_the_split(self, full_plan):
        counts = pd.crosstab(full_plan["split"], full_plan["format"])
        assert (counts.nunique(axis=1) == 1).all()

    def test_deliveries_are_spread_over_genres_and_formats(self, full_plan):
        for group in ("genre", "format"):
            counts = pd.crosstab(full_plan[group], full_plan["delivery"]).to_numpy()
            assert counts.shape[1] == 4
            assert counts.max() - counts.min() <= 1

    def test_the_smallest_demo_still_has_every_format_and_delivery(self, tmp_path):
        plan = plan_table(tiny(tmp_path))
        sound = plan[plan["fault"] == ""]
        assert sound["format"].nunique() == 4
        assert sound["delivery"].nunique() == 4

    def test_clips_that_cannot_be_shared_out_evenly(self, tmp_path):
        plan = plan_table(tiny(tmp_path, n_clips_per_genre=7, n_artists_per_genre=3))
        sizes = plan[plan["fault"] == ""].groupby(["genre", "artist"]).size()
        assert sorted(sizes) == [2, 2, 2, 2, 3, 3]

    def test_names_do_not_repeat_in_the_largest_demo(self, tmp_path):
        plan = plan_table(DemoBlock(path=tmp_path, n_artists_per_genre=60, n_clips_per_genre=60))
        assert plan["artist"].nunique() == 360


class TestOfficialSplit:
    def test_covers_sound_tracks_and_keeps_artists_apart(self, full_plan):
        assert set(full_plan.groupby("artist")["split"].nunique()) == {1}
        shares = full_plan.groupby(["genre", "split"]).size().unstack()
        assert (shares == [4, 12, 4]).all(axis=None)
        assert list(shares.columns) == ["test", "train", "validation"]

    def test_faulty_tracks_are_in_no_part(self, demo):
        faulty = {planned.clip.track_id for planned in plan_clips(demo) if planned.fault}
        assert len(faulty) == 3
        listed = official_splits(demo)["demo"]
        assert not faulty & set(listed)
        assert faulty | set(listed) == {clip.track_id for clip in find_clips(demo).clips}

    def test_two_artists_leave_no_validation_part(self, tmp_path):
        assert Counter(official_splits(tiny(tmp_path))["demo"].values()) == {"train": 2, "test": 2}


class TestFiles:
    def test_manifest_lists_what_is_there(self, demo):
        clips = find_clips(demo).clips
        assert [clip.track_id for clip in clips] == sorted(clip.track_id for clip in clips)
        assert {clip.path for clip in clips} == {
            path.relative_to(demo.path).as_posix() for path in demo.path.glob("*/*")
        }
        assert sorted(clips, key=str) == sorted((planned.clip for planned in plan_clips(demo)), key=str)
        assert all(clip.path.startswith(f"{clip.genre}/{clip.track_id}.") for clip in clips)
        assert all(clip.artist and clip.title and clip.album for clip in clips)

    def test_sound_files_are_as_planned(self, demo):
        infos = {}
        for planned in plan_clips(demo):
            if not planned.fault:
                info = soundfile.info(demo.path / planned.clip.path)
                infos[planned.clip.path] = info
                assert info.channels == planned.n_channels
                assert info.samplerate == planned.rate_factor * demo.sample_rate
                assert info.duration == pytest.approx(1.0, abs=0.01)
                waveform, _ = soundfile.read(demo.path / planned.clip.path)
                assert np.isfinite(waveform).all()
                assert 0.02 < np.sqrt(np.mean(waveform**2)) < 0.5
        assert {info.format for info in infos.values()} == {"WAV", "FLAC", "OGG", "MP3"}
        assert {info.channels for info in infos.values()} == {1, 2}
        assert {info.samplerate for info in infos.values()} == {22050, 44100}

    def test_truncated_file_cannot_be_read_to_the_end(self, demo):
        path = self.faulty_path(demo, "truncated")
        assert soundfile.info(path).frames == demo.sample_rate
        with pytest.raises(soundfile.LibsndfileError, match="flac decoder"):
            soundfile.read(path)

    def test_silent_file_is_all_zeros(self, demo):
        waveform, _ = soundfile.read(self.faulty_path(demo, "silent"), dtype="int16")
        assert len(waveform) == demo.sample_rate
        assert not waveform.any()

    def test_duplicate_has_the_bytes_of_an_earlier_clip(self, demo):
        duplicate = next(planned for planned in plan_clips(demo) if planned.fault == "duplicate")
        original = next(planned for planned in plan_clips(demo) if planned.clip.path == duplicate.copy_of)
        assert (demo.path / duplicate.clip.path).read_bytes() == (demo.path / original.clip.path).read_bytes()
        assert original.clip.track_id < duplicate.clip.track_id
        assert original.clip.genre == duplicate.clip.genre
        assert original.clip.artist == duplicate.clip.artist

    def test_the_same_parameters_give_the_same_bytes(self, demo, tmp_path):
        again = demo.model_copy(update={"path": tmp_path / "again"})
        prepare(again)
        written = [{path.name: content for path, (_, content) in snapshot(b.path).items()} for b in (demo, again)]
        assert written[0] == written[1]

    @staticmethod
    def faulty_path(demo, fault):
        return next(demo.path / planned.clip.path for planned in plan_clips(demo) if planned.fault == fault)


class TestPrepare:
    def test_writes_once(self, tmp_path):
        block = tiny(tmp_path / "demo")
        prepare(block)
        before = snapshot(block.path)
        prepare(block)
        assert snapshot(block.path) == before
        assert {path.name for path in tmp_path.iterdir()} == {"demo"}

    def test_what_is_done_with_the_clips_does_not_matter(self, tmp_path):
        prepare(tiny(tmp_path / "demo"))
        before = snapshot(tmp_path / "demo")
        prepare(tiny(tmp_path / "demo", min_duration_s=0.5, quarantine=(), genres=("ambient", "bossa")))
        assert snapshot(tmp_path / "demo") == before

    def test_other_parameters_make_it_anew(self, tmp_path):
        prepare(tiny(tmp_path / "demo"))
        before = snapshot(tmp_path / "demo")
        prepare(tiny(tmp_path / "demo", seed=1))
        after = snapshot(tmp_path / "demo")
        assert after.keys() == before.keys()
        path = tmp_path / "demo" / "ambient" / "ambient_001.wav"
        assert after[path][1] != before[path][1]

    def test_a_lost_file_is_made_again(self, tmp_path):
        block = tiny(tmp_path / "demo")
        prepare(block)
        path = block.path / find_clips(block).clips[0].path
        content = path.read_bytes()
        path.unlink()
        prepare(block)
        assert path.read_bytes() == content

    def test_an_empty_folder_is_filled(self, tmp_path):
        prepare(tiny(tmp_path))
        assert len(find_clips(tiny(tmp_path)).clips) == 7

    def test_a_foreign_folder_is_refused(self, tmp_path):
        (tmp_path / "song.wav").write_bytes(b"mine")
        with pytest.raises(DatasetError, match=r"expected the demo dataset or nothing.*left as it is"):
            prepare(tiny(tmp_path))
        assert (tmp_path / "song.wav").read_bytes() == b"mine"

    @pytest.mark.parametrize("record", ["{", "[]", "{}", '{"fingerprint": "x"}'])
    def test_an_unreadable_record_is_refused(self, tmp_path, record):
        (tmp_path / "demo.json").write_text(record)
        with pytest.raises(DatasetError, match=r"no readable demo\.json"):
            prepare(tiny(tmp_path))

    def test_a_file_in_the_folders_place_is_refused(self, tmp_path):
        (tmp_path / "demo").write_text("mine")
        with pytest.raises(DatasetError, match="found a file"):
            prepare(tiny(tmp_path / "demo"))

    def test_foreign_files_among_the_demos_are_not_deleted(self, tmp_path):
        prepare(tiny(tmp_path / "demo"))
        note = tmp_path / "demo" / "ambient" / "note.txt"
        note.write_text("mine")
        prepare(tiny(tmp_path / "demo"))
        with pytest.raises(DatasetError, match=r"ambient/note\.txt"):
            prepare(tiny(tmp_path / "demo", seed=1))
        assert note.read_text() == "mine"

    def test_an_interrupted_run_leaves_nothing(self, tmp_path, monkeypatch):
        def interrupt(*arguments):
            raise KeyboardInterrupt

        monkeypatch.setattr("genre_pipeline.datasets.demo.write_audio", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare(tiny(tmp_path / "demo"))
        assert not list(tmp_path.iterdir())

    def test_the_record_says_how_it_was_made(self, demo):
        record = json.loads((demo.path / "demo.json").read_text())
        assert record["parameters"]["n_genres"] == 3
        assert "path" not in record["parameters"]
        assert record["generator"] == 1
        assert record["files"]["tracks.csv"] == (demo.path / "tracks.csv").stat().st_size


class TestManifestErrors:
    def test_missing(self, tmp_path):
        with pytest.raises(DatasetError, match=r"tracks\.csv: expected the demo dataset's manifest"):
            find_clips(tiny(tmp_path))

    @pytest.mark.parametrize(("text", "found"), [("", "none"), ("a,b\n1,2\n", "a, b")])
    def test_other_columns(self, tmp_path, text, found):
        (tmp_path / "tracks.csv").write_text(text)
        with pytest.raises(DatasetError, match=f"found {found}"):
            find_clips(tiny(tmp_path))


class TestBlock:
    def test_is_registered(self, tmp_path):
        spec = DATASETS["demo"]
        block = parse_block(spec.block, {"kind": "demo", "path": tmp_path}, key="datasets.demo")
        assert (block.n_genres, block.n_clips_per_genre, block.n_artists_per_genre) == (6, 20, 5)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"n_genres": 1}, r"datasets\.demo\.n_genres: got 1"),
            ({"n_genres": 7}, r"datasets\.demo\.n_genres: got 7"),
            ({"n_clips_per_genre": 1}, "n_clips_per_genre: got 1"),
            ({"n_artists_per_genre": 61, "n_clips_per_genre": 100}, "n_artists_per_genre: got 61"),
            ({"clip_duration_s": 0.0}, "clip_duration_s: got 0.0"),
            ({"sample_rate": 44100}, "sample_rate: got 44100"),
            ({"seed": -1}, "seed: got -1"),
            ({"kind": "gtzan"}, "kind: got 'gtzan'"),
            ({"n_clips_per_genre": 3}, "n_artists_per_genre is 5, more than n_clips_per_genre"),
        ],
    )
    def test_bounds(self, tmp_path, values, message):
        with pytest.raises(ConfigError, match=message):
            parse_block(DemoBlock, {"path": tmp_path, **values}, key="datasets.demo")


def test_its_faulty_files_are_logged_as_planted_and_others_are_not(demo, caplog):
    faulty = [each.clip for each in plan_clips(demo) if each.fault]
    sound = find_clips(demo).clips[0]
    planted = DATASETS["demo"].planted(demo)
    assert planted == {clip.track_id for clip in faulty}
    faults = [
        {"track_id": clip.track_id, "path": clip.path, "fault": "silent", "detail": "-", "quarantined": True}
        for clip in (faulty[0], sound)
    ]
    counts = {
        **dict.fromkeys(("n_clips", "n_usable", "n_quarantined", "total_duration_s", "n_inspected", "n_reused"), 1),
        "unknown_artists": {"n_tracks": 0},
        "subset": {"name": ""},
        "left_out": {},
        "genres": {},
        "checksums": {},
        **dict.fromkeys(("missing", "remarks"), ()),
    }
    with caplog.at_level("INFO"):
        log_report({"dataset": "demo", "faults": faults, **counts}, planted)
    why = "planted, to show how a faulty file is found: silent (-)"
    assert [message for message in caplog.messages if "not used" in message] == [
        f"demo: {faulty[0].track_id} ({faulty[0].path}) is not used: {why}",
        f"demo: {sound.track_id} ({sound.path}) is not used: silent (-)",
    ]
    assert "1 file inspected" in caplog.messages[-1]

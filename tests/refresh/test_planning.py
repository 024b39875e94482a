"""What the planner says after each kind of change, without anything being decoded or trained."""

import os
from types import SimpleNamespace

import pytest

from genre_pipeline.errors import ConfigError, StorageError
from genre_pipeline.ingest.inspections import forget_inspections
from genre_pipeline.ops.refresh import planning, records
from genre_pipeline.ops.refresh.planning import NO_RECORD, Plan, assess, make_plan, recorded_parts

ALL = ["d.ingest", "d.card", "d.split", "d.segment", "d.p.f.m.train", "compare"]


def stale(project, **options):
    return make_plan(project.graph, **options).stale


def causes(project, name, **options):
    return [cause.text for cause in make_plan(project.graph, **options).causes[name]]


def test_nothing_was_made(project):
    plan = make_plan(project.graph)
    assert plan.stale == ALL
    assert {cause.text for found in plan.causes.values() for cause in found} == {"there is no result of it yet"}
    assert plan.n_tracks == 3


def test_nothing_is_stale(finished):
    plan = make_plan(finished.graph)
    assert plan.stale == []
    assert plan.summary() == "Nothing is stale (6 steps, 3 tracks)."


def test_a_result_without_a_record_is_stale(finished):
    finished.graph.entries["d.split"].record.unlink()
    assert causes(finished, "d.split") == [NO_RECORD]
    assert stale(finished) == ["d.split", "d.p.f.m.train", "compare"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"step": 1}'])
def test_a_record_that_says_nothing_does_not_count(finished, text):
    finished.graph.entries["board"].record.write_text(text)
    assert stale(finished) == ["compare"]


def test_a_lost_result_is_made_again_and_nothing_after_it(finished):
    finished.graph.entries["d.split"].path.unlink()
    assert stale(finished) == ["d.split"]
    assert causes(finished, "d.split") == ["d.split.file is not there"]


class TestFiles:
    def test_a_new_one(self, finished):
        finished.write("rock/new.wav")
        assert stale(finished) == ALL
        assert causes(finished, "d.ingest") == ["1 file new: rock/new.wav"]

    def test_many_are_counted(self, finished):
        for number in range(5):
            finished.write(f"rock/new{number}.wav")
        assert causes(finished, "d.ingest") == ["5 files new: rock/new0.wav, rock/new1.wav, rock/new2.wav and 2 more"]

    def test_a_changed_one(self, finished):
        finished.write("rock/c.wav", "longer than before")
        assert stale(finished) == ALL
        assert causes(finished, "d.ingest") == ["1 file changed: rock/c.wav"]

    def test_an_older_time_is_a_change_as_well(self, finished):
        """A clock that was set back, or a file restored from a backup."""
        os.utime(finished.music / "rock" / "c.wav", ns=(1, 1))
        assert causes(finished, "d.ingest") == ["1 file changed: rock/c.wav"]

    def test_what_turns_out_to_be_the_same_stops_there(self, finished):
        os.utime(finished.music / "rock" / "c.wav", ns=(1, 1))
        assert stale(finished) == ALL
        finished.run("d.ingest")
        assert stale(finished) == []

    def test_a_removed_one(self, finished):
        (finished.music / "jazz" / "b.wav").unlink()
        finished.describe("jazz/a.wav,,Ann,One", "rock/c.wav,,Cid,Three")
        assert stale(finished) == ALL
        assert causes(finished, "d.ingest") == ["1 file removed: jazz/b.wav"]

    def test_a_listed_one_that_is_gone_has_changed(self, finished):
        (finished.music / "jazz" / "b.wav").unlink()
        assert causes(finished, "d.ingest") == ["1 file changed: jazz/b.wav"]

    def test_a_renamed_one(self, finished):
        (finished.music / "jazz" / "b.wav").rename(finished.music / "jazz" / "z.wav")
        finished.describe("jazz/a.wav,,Ann,One", "jazz/z.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
        assert causes(finished, "d.ingest") == ["1 file renamed: jazz/b.wav is now jazz/z.wav"]
        assert stale(finished) == ALL

    def test_a_change_that_time_and_size_hide(self, finished):
        path = finished.music / "rock" / "c.wav"
        times = path.stat().st_mtime_ns
        path.write_text("ROCK/C.WAV")
        os.utime(path, ns=(times, times))
        assert stale(finished) == []
        plan = make_plan(finished.graph, check_content=True)
        assert plan.stale == ALL
        assert plan.listings["d"].altered == ("rock/c.wav",)
        # Forgotten, it is seen without being read, and inspected.
        forget_inspections(finished.graph.steps[0].source.cache, plan.listings["d"].altered)
        assert causes(finished, "d.ingest") == ["1 file changed: rock/c.wav"]
        finished.run("d.ingest")
        assert stale(finished) == ["d.card", "d.segment", "d.p.f.m.train", "compare"]
        assert make_plan(finished.graph, check_content=True).listings["d"].altered == ()

    def test_one_that_cannot_be_read_has_changed(self, finished):
        path = finished.music / "rock" / "c.wav"
        status = path.stat()
        path.unlink()
        path.symlink_to("nowhere")
        check = make_plan(finished.graph, check_content=True).listings["d"]
        assert status.st_size
        assert check.changed == ("rock/c.wav",)

    def test_a_dataset_that_is_not_there_is_stale_and_says_why(self, finished):
        finished.music.rename(finished.folder / "elsewhere")
        (cause,) = causes(finished, "d.ingest")
        assert "cannot be listed" in cause
        assert stale(finished) == ALL

    def test_what_is_no_clip_makes_nothing_stale(self, finished):
        for name in ("jazz/cover.jpg", "jazz/d.m4a", "#recycle/a.wav", "stray.wav"):
            finished.write(name)
        (finished.music / "jazz" / "loop.wav").symlink_to("loop.wav")
        (finished.music / "pop").symlink_to("jazz")
        os.mkfifo(finished.music / "jazz" / "pipe.wav")
        assert stale(finished) == []

    def test_a_table_in_another_spelling_makes_nothing_stale(self, finished):
        finished.describe("Jazz/A.wav,,Ann,One", r"jazz\b.wav,,Bob,Two", "./rock/c.wav,,Cid,Three", ",,,")
        assert stale(finished) == []

    def test_a_cache_that_is_lost_makes_all_files_change(self, finished):
        finished.graph.steps[0].source.cache.unlink()
        assert causes(finished, "d.ingest") == ["3 files changed: jazz/a.wav, jazz/b.wav, rock/c.wav"]
        with pytest.raises(StorageError, match="damaged"):
            forget_inspections(finished.graph.steps[0].source.cache, ["a"])


class TestDamage:
    """A result whose files are no longer those that were written is made again, and nothing after it."""

    def path(self, project, entry):
        return project.graph.entries[entry].path

    @pytest.mark.parametrize(("content", "what"), [(b"", "0 bytes"), (b"{'ma", "4 bytes"), (b"x" * 100, "100 bytes")])
    def test_another_size_is_named(self, finished, content, what):
        path = self.path(finished, "d.split")
        n_bytes = path.stat().st_size
        path.write_bytes(content)
        assert causes(finished, "d.split") == [
            f"split of d: changed on disk since it was written (d.split.file has {what}, and had {n_bytes})"
        ]
        assert stale(finished) == ["d.split"]

    def test_another_content_of_the_same_size_is_seen_by_its_time(self, finished):
        path = self.path(finished, "board")
        path.write_bytes(path.read_bytes().replace(b"made", b"MADE"))
        assert causes(finished, "compare") == [
            "board: changed on disk since it was written (board.file has another content)"
        ]

    def test_a_copy_with_other_times_is_the_same_and_hashed_once(self, finished, monkeypatch):
        for entry in finished.graph.entries.values():
            os.utime(entry.path, ns=(1, 1))
        hashed = []
        original = records.file_hash
        monkeypatch.setattr(records, "file_hash", lambda path: hashed.append(path.name) or original(path))
        assert stale(finished) == []
        assert len(hashed) == len(finished.graph.entries)
        assert stale(finished) == []
        assert len(hashed) == len(finished.graph.entries)

    def test_a_copy_that_cannot_be_written_is_the_same_too(self, finished, monkeypatch):
        os.utime(self.path(finished, "board"), ns=(1, 1))

        def refuse(path, content):
            raise StorageError("read-only")

        monkeypatch.setattr(records, "write_json", refuse)
        assert stale(finished) == []

    def test_size_and_time_hide_what_the_content_gives_away(self, finished):
        path = self.path(finished, "d.card")
        times = path.stat().st_mtime_ns
        path.write_bytes(path.read_bytes().replace(b"made", b"MADE"))
        os.utime(path, ns=(times, times))
        assert stale(finished) == []
        assert stale(finished, check_content=True) == ["d.card"]
        # Touched, it is seen without being read.
        assert stale(finished) == ["d.card"]

    def test_a_folder_that_a_result_points_to_belongs_to_it(self, finished):
        folder = finished.folder / "model"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        finished.run("d.p.f.m.train", **{"d.model": SimpleNamespace(folder=folder, fingerprint="a")})
        finished.run("compare")
        assert stale(finished) == []
        (folder / "weights").write_text("123")
        assert causes(finished, "d.p.f.m.train") == [
            "model of d: changed on disk since it was written (../model/weights has 3 bytes, and had 4)"
        ]
        (folder / "weights").unlink()
        assert causes(finished, "d.p.f.m.train")[0].endswith("(../model/weights is missing)")
        (folder / "weights").write_text("1234")
        assert stale(finished) == []
        (folder / "more").touch()
        assert causes(finished, "d.p.f.m.train")[0].endswith("(../model/more is new)")

    def test_large_files_of_a_folder_are_known_by_size_and_time(self, finished, monkeypatch):
        monkeypatch.setattr(records, "_HASHED_BYTES", 3)
        folder = finished.folder / "model"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        finished.run("d.p.f.m.train", **{"d.model": SimpleNamespace(folder=folder, fingerprint="a")})
        finished.run("compare")
        assert stale(finished, check_content=True) == []
        os.utime(folder / "weights", ns=(1, 1))
        assert causes(finished, "d.p.f.m.train")[0].endswith("(../model/weights was written to)")

    def test_a_track_table_that_cannot_be_read_is_named_and_made_again(self, finished, caplog):
        path = self.path(finished, "d.tracks")
        path.write_bytes(path.read_bytes()[:100])
        assert stale(finished) == ["d.ingest"]
        assert f"{path} cannot be read" in caplog.text
        finished.run("d.ingest")
        assert stale(finished) == []

    def test_nothing_reads_a_damaged_result(self, finished):
        self.path(finished, "d.split").write_text("edited")
        kept = finished.graph.entries["d.model"].record.read_bytes()
        with pytest.raises(
            StorageError, match=r"split of d: changed on disk .*d\.split\.file has 6 bytes.*kedro refresh"
        ):
            finished.run("d.p.f.m.train")
        assert finished.graph.entries["d.model"].record.read_bytes() == kept


class TestMetadata:
    def test_an_artist_changes_splits_but_not_segments(self, finished):
        finished.describe("jazz/a.wav,,Eve,One", "jazz/b.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
        plan = make_plan(finished.graph)
        assert plan.stale == ["d.ingest", "d.card", "d.split", "d.p.f.m.train", "compare"]
        assert causes(finished, "d.ingest") == ["artist of 1 track changed: jazz/a ('Ann' is now 'Eve')"]
        assert plan.causes["d.split"][0].text == "d.tracks changed (artist)"
        assert plan.causes["d.split"][0].is_certain
        assert not plan.causes["d.p.f.m.train"][0].is_certain

    def test_a_title_changes_the_card_alone(self, finished):
        finished.describe("jazz/a.wav,,Ann,Four", "jazz/b.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
        assert stale(finished) == ["d.ingest", "d.card"]

    def test_a_genre_may_change_what_part_of_the_dataset_is_used(self, finished):
        finished.describe("jazz/a.wav,rock,Ann,One", "jazz/b.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
        plan = make_plan(finished.graph)
        assert plan.stale == ["d.ingest", "d.card", "d.split", "d.p.f.m.train", "compare"]
        assert [cause.text for cause in plan.causes["d.split"]] == [
            "d.tracks changed (genre)",
            "d.quality is remade",
        ]

    def test_another_artist_that_splits_as_before_stops_at_the_split(self, finished):
        finished.describe("jazz/a.wav,,Eve,One", "jazz/b.wav,,Bob,Two", "rock/c.wav,,Cid,Three")
        finished.run("d.ingest", "d.card", "d.split")
        assert stale(finished) == []


class TestParametersAndCode:
    def test_a_parameter(self, finished):
        finished.change("d.p.f.m.train", parameters={"models.m": {"rate": 0.2, "layers": [1, 2]}})
        assert stale(finished) == ["d.p.f.m.train", "compare"]
        assert causes(finished, "d.p.f.m.train") == ["models.m.rate: 0.1 is now 0.2"]

    def test_a_parameter_that_comes_or_goes(self, finished):
        finished.change("d.p.f.m.train", parameters={"models.m": {"rate": 0.1, "depth": 3}})
        assert causes(finished, "d.p.f.m.train") == [
            "models.m.depth: nothing is now 3",
            "models.m.layers: [1, 2] is now nothing",
        ]

    def test_a_version(self, finished):
        finished.change("compare", versions={"compare": 2})
        assert stale(finished) == ["compare"]
        assert causes(finished, "compare") == ["code.compare: 1 is now 2"]

    def test_a_file_beside_the_catalog(self, finished):
        folder = finished.folder / "embeddings"
        finished.change("d.segment", files=(folder,))
        assert causes(finished, "d.segment") == [f"the file {folder} changed"]
        finished.run("d.segment")
        assert stale(finished) == []
        folder.mkdir()
        (folder / "a.npy").write_bytes(b"1")
        assert stale(finished) == ["d.segment", "d.p.f.m.train", "compare"]
        finished.run("d.segment")
        (folder / "a.npy").write_bytes(b"12")
        assert stale(finished) == ["d.segment", "d.p.f.m.train", "compare"]

    def test_another_input(self, finished):
        finished.change("compare", inputs={"d.model": None, "d.split": None})
        assert causes(finished, "compare") == ["d.split is new here"]
        finished.run("compare")
        finished.change("compare", inputs={"d.model": None})
        assert causes(finished, "compare") == ["d.split is no part of it any more"]

    def test_a_narrower_declaration_is_no_change(self, finished):
        """What was recorded of all columns, and of a whole block, holds for those that are still read."""
        finished.change("d.card", inputs={"d.tracks": ("title",), "d.quality": ("genres",)})
        finished.change("d.p.f.m.train", parameters={"models.m.rate": 0.1})
        assert stale(finished) == []
        finished.change("d.p.f.m.train", parameters={"models.m.rate": 0.2})
        assert causes(finished, "d.p.f.m.train") == ["models.m.rate: 0.1 is now 0.2"]

    def test_a_wider_declaration_is_one(self, finished):
        finished.change("d.segment", inputs={"d.tracks": ("track_id", "audio_hash", "title")})
        assert causes(finished, "d.segment") == ["d.tracks changed (title)"]

    def test_an_input_that_was_made_anew_elsewhere(self, finished):
        finished.run("d.split", **{"d.split": {"made": "otherwise"}})
        assert causes(finished, "d.p.f.m.train") == ["d.split changed (made)"]
        assert stale(finished) == ["d.p.f.m.train", "compare"]


class TestExplanation:
    def explained(self, project, name):
        return make_plan(project.graph).explain(name)

    def test_a_chain_leads_to_the_file(self, finished):
        finished.write("rock/new.wav")
        lines = self.explained(finished, "d.p.f.m")
        assert lines[0] == "d.p.f.m.train: stale"
        assert lines[1] == "  - d.split is remade, and may change"
        assert "      - 1 file new: rock/new.wav" in [line[2:] for line in lines] or any(
            line.strip() == "- 1 file new: rock/new.wav" for line in lines
        )
        assert any(line.strip() == "d.ingest: stale, see above" for line in lines)

    def test_what_is_up_to_date_is_said_to_be(self, finished):
        assert self.explained(finished, "d.split") == ["d.split: up to date"]
        assert len(self.explained(finished, "d")) == 5

    def test_an_unknown_name_is_told(self, finished):
        with pytest.raises(ConfigError, match=r"no cell or step 'd\.p\.f\.x'.*Did you mean 'd\.p\.f\.m'"):
            self.explained(finished, "d.p.f.x")


def test_the_summary_names_each_step_and_its_causes(finished):
    finished.write("rock/new.wav")
    lines = make_plan(finished.graph).summary().splitlines()
    assert lines[0] == "Stale: 6 of 6 steps, 4 tracks."
    assert lines[1:4] == ["Causes:", "  1 step: 1 file new: rock/new.wav", "Steps:"]
    assert lines[4] == "  d.ingest       1 file new: rock/new.wav"
    assert lines[-1] == "  compare        d.model is remade, and may change"


def test_a_long_summary_counts_what_it_leaves_out(finished, monkeypatch):
    monkeypatch.setattr(planning, "_MAX_STEPS", 2)
    finished.write("rock/new.wav")
    assert make_plan(finished.graph).summary().splitlines()[-1] == "  … and 4 more"


def test_a_step_whose_input_has_no_record_is_not_recorded(project):
    project.run("d.split")
    assert recorded_parts(project.graph, ["d.split"]) == {"d.split": None}
    found, missing = assess(project.graph.by_name["d.split"], project.graph, {})
    assert [cause.text for cause in found] == [NO_RECORD]
    assert missing == []


def test_states_of_files_are_told_apart(finished):
    first, second = make_plan(finished.graph), make_plan(finished.graph)
    assert first.signature == second.signature
    finished.write("rock/c.wav", "still growing")
    third = make_plan(finished.graph)
    finished.write("rock/c.wav", "still growing on")
    assert len({first.signature, third.signature, make_plan(finished.graph).signature}) == 3


def test_a_plan_needs_no_listing(finished):
    assert Plan(finished.graph, {}).n_tracks == 0

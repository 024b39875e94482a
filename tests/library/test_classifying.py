"""Files of a library: several at once, and only those that are new or have changed."""

import os
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from genre_pipeline.errors import StorageError
from genre_pipeline.library import classifying
from genre_pipeline.library.classifying import Library, Lookout
from genre_pipeline.library.index import AnswerIndex
from genre_pipeline.library.listing import list_music
from genre_pipeline.ops.refresh.watching import watch
from genre_pipeline.work.backends import Workers
from tiny_music import write_clip

SERIAL = Workers("serial")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "songs"
    for number, genre in enumerate(("jazz", "rock", "blues")):
        write_clip(folder / f"{number}.wav", genre, seed=number)
    return folder


@pytest.fixture
def index(tmp_path):
    with AnswerIndex(tmp_path / "results" / "library.sqlite") as index:
        yield index


def answered(library, folder):
    return {answer.path.name: answer for answer in library.answers(list_music([folder]))}


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_answers_come_in_the_order_of_the_files(model, folder, backend):
    (folder / "1b.wav").write_text("no audio")
    listing = list_music([folder])
    answers = list(Library(model.model, Workers(backend, 2)).answers(listing))
    assert [each.path for each in answers] == list(listing.paths)
    assert ["no audio" in each.error or "1b.wav" in each.error for each in answers] == [False, False, True, False]
    assert model.tabulate(answers)["genre"].tolist() == ["jazz", "rock", "", "blues"]


def test_an_answer_is_given_as_soon_as_those_before_it_are_there(model, folder):
    is_first_given = threading.Event()

    class SlowModel:
        def __getattr__(self, name):
            return getattr(model, name)

        def answer(self, path, *, described):
            if path.name == "2.wav":
                assert is_first_given.wait(60.0)
            return model.answer(path, described=described)

    answers = Library(SlowModel(), Workers("threads", 2)).answers(list_music([folder]))
    assert next(answers).path.name == "0.wav"
    is_first_given.set()
    assert [each.path.name for each in answers] == ["1.wav", "2.wav"]


def test_only_new_and_changed_files_are_classified_again(model, folder, index):
    library = Library(model, SERIAL, index)
    before = answered(library, folder)
    assert len(model.asked) == 3
    again = answered(library, folder)
    assert len(model.asked) == 3
    for name, answer in again.items():
        assert np.array_equal(answer.probabilities, before[name].probabilities)
        assert answer.duration_s == before[name].duration_s == 1.0
    write_clip(folder / "1.wav", "jazz", seed=7, duration_s=2.0)
    write_clip(folder / "3.wav", "rock", seed=8)
    changed = answered(library, folder)
    assert [path.name for path in model.asked[3:]] == ["1.wav", "3.wav"]
    assert list(changed) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert changed["1.wav"].duration_s == 2.0


def test_another_time_of_change_counts_as_a_change(model, folder, index):
    library = Library(model, SERIAL, index)
    answered(library, folder)
    path = folder / "2.wav"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    answered(library, folder)
    assert [each.name for each in model.asked[3:]] == ["2.wav"]


def test_another_model_classifies_all_again(model, folder, index):
    answered(Library(model, SERIAL, index), folder)
    other = model.of_fingerprint("another")
    answered(Library(other, SERIAL, index), folder)
    assert len(other.asked) == 3


def test_a_file_that_could_not_be_classified_is_skipped_until_it_changes(model, folder, index):
    (folder / "1.wav").write_text("no audio")
    library = Library(model, SERIAL, index)
    error = answered(library, folder)["1.wav"].error
    again = answered(library, folder)["1.wav"]
    assert again.error == f"{error} (Skipped: it has not changed since.)"
    assert again.probabilities.shape == (0, 3)
    assert len(model.asked) == 3
    write_clip(folder / "1.wav", "jazz", seed=7)
    assert not answered(library, folder)["1.wav"].error
    assert [path.name for path in model.asked[3:]] == ["1.wav"]


def test_a_file_that_may_not_be_read_is_tried_again(model, folder, index, monkeypatch):
    monkeypatch.setattr(classifying.os, "access", lambda path, mode: path.name != "1.wav")
    library = Library(model, SERIAL, index)
    answered(library, folder)
    answered(library, folder)
    assert [path.name for path in model.asked[3:]] == ["1.wav"]


def paths_in(index_path):
    with sqlite3.connect(index_path) as connection:
        found = {Path(key.decode()).name for (key,) in connection.execute("SELECT path FROM answers")}
    connection.close()
    return found


def test_the_index_forgets_files_that_are_gone_and_no_others(model, folder, tmp_path):
    place = tmp_path / "library.sqlite"
    elsewhere = write_clip(tmp_path / "elsewhere" / "4.wav", "rock", seed=4)
    with AnswerIndex(place) as index:
        library = Library(model, SERIAL, index)
        list(library.answers(list_music([folder, elsewhere])))
        (folder / "0.wav").unlink()
        elsewhere.unlink()
        answered(library, folder)
        assert paths_in(place) == {"1.wav", "2.wav", "4.wav"}
        list(library.answers(list_music([elsewhere])))
        assert paths_in(place) == {"1.wav", "2.wav"}
        # As if the disk were not mounted.
        shutil.rmtree(folder)
        (answer,) = library.answers(list_music([folder]))
        assert "there is no such file" in answer.error
        assert paths_in(place) == {"1.wav", "2.wav"}


def test_what_was_classified_before_a_command_ended_is_kept(model, folder, tmp_path):
    place = tmp_path / "library.sqlite"
    with AnswerIndex(place) as index:
        answers = Library(model, SERIAL, index).answers(list_music([folder]))
        next(answers)
        answers.close()
    assert paths_in(place) == {"0.wav"}


@pytest.mark.parametrize("content", [b"no database " * 100, b"SQLite format 3\0" + bytes(10)])
def test_a_damaged_index_is_named(tmp_path, content):
    place = tmp_path / "library.sqlite"
    place.write_bytes(content)
    with pytest.raises(StorageError, match=r"The index .*library\.sqlite cannot be used \(.*\)\. .* delete it"):
        AnswerIndex(place)


def test_a_damaged_row_of_the_index_is_named(model, folder, index):
    listing = list_music([folder])
    list(Library(model, SERIAL, index).answers(listing))
    index._connection.execute("UPDATE answers SET probabilities = ?", (bytes(7),))
    with pytest.raises(StorageError, match=r"cannot be used .* delete it"):
        list(Library(model, SERIAL, index).answers(listing))


def test_an_index_of_another_version_is_made_anew(model, folder, tmp_path):
    place = tmp_path / "library.sqlite"
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE answers (path TEXT)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with AnswerIndex(place) as index:
        answered(Library(model, SERIAL, index), folder)
    assert paths_in(place) == {"0.wav", "1.wav", "2.wav"}


def test_a_watch_classifies_what_is_new_or_has_changed_and_tries_nothing_twice(folder):
    (folder / "bad.wav").write_text("no audio")
    lookout = Lookout(lambda: list_music([folder], allow_empty=True))
    found = []

    def run(new):
        found.append([path.name for path in new.listing.paths])
        lookout.pass_by(new)

    run(lookout.find())
    steps = iter([
        lambda: None,
        lambda: write_clip(folder / "new.wav", "rock", seed=5),
        lambda: None,  # settled
        (folder / "0.wav").unlink,
        lambda: write_clip(folder / "1.wav", "jazz", seed=6, duration_s=2.0),
        lambda: write_clip(folder / "1.wav", "jazz", seed=6, duration_s=3.0),  # still written
        lambda: None,
    ])  # fmt: skip

    class Enough(BaseException):
        pass

    def wait(_seconds):
        step = next(steps, None)
        if step is None:
            raise Enough
        step()

    with pytest.raises(Enough):
        watch(lookout.find, run, wait=wait, interval_s=10.0, settle_s=10.0)
    assert found == [["0.wav", "1.wav", "2.wav", "bad.wav"], ["new.wav"], ["1.wav"]]

"""Only what nobody needs is left over."""

import os
import subprocess
from dataclasses import replace

import pytest

from genre_pipeline.errors import StorageError
from genre_pipeline.ops.retention import Leftover, abandoned_files, old_versions, remove, trained_features
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.work.processes import Owner


def version(second):
    return f"2026-01-01T00.00.{second:02d}.000Z"


def write_version(entry, name):
    path = entry / name / entry.name
    path.parent.mkdir(parents=True)
    path.write_text("1234")
    return path.parent


def test_the_newest_versions_of_each_entry_stay(tmp_path):
    root = tmp_path / "a [folder]"
    template = str(root / "{dataset}" / "{protocol}" / "split.parquet")
    old = {}
    for dataset in ("demo", "gtzan"):
        entry = root / dataset / "folds" / "split.parquet"
        old[dataset] = [write_version(entry, version(second)) for second in (5, 7, 9)]
    (root / "demo" / "folds" / "split.parquet" / "notes").mkdir()
    # Neither a version of this entry nor an entry of this name.
    write_version(root / "demo" / "folds" / "other.parquet", version(1))
    (root / "demo" / "folds" / "split.parquet" / version(1)).mkdir()
    found = old_versions([template], keep=2)
    assert [each.path for each in found] == [old["demo"][0], old["gtzan"][0]]
    assert {each.n_bytes for each in found} == {4}
    assert {each.reason for each in found} == {"2 newer of it"}
    assert len(old_versions([template], keep=1)) == 4
    assert old_versions([template], keep=3) == []


def test_what_was_trained_is_known_by_its_folders_whatever_is_in_them(tmp_path):
    for cell in ("base/mine/folds/mfcc/svm", "gone/mine/folds/log_mel/net1", "base/demo/random/mfcc/svm"):
        (tmp_path / cell).mkdir(parents=True)
    (tmp_path / "base/mine/folds/mfcc/notes.txt").write_text("")
    template = "{experiment}/{dataset}/{protocol}/{feature}/{model}"
    assert trained_features(f"{tmp_path}/{template}") == {("mine", "mfcc"), ("mine", "log_mel"), ("demo", "mfcc")}
    assert trained_features(f"{tmp_path}/nothing/{template}") == set()


def test_files_and_folders_are_removed_and_a_refusal_is_told(tmp_path, monkeypatch):
    folder, file = tmp_path / "folder" / "in it", tmp_path / "file"
    folder.mkdir(parents=True)
    file.write_text("12")
    remove(Leftover(file, "", 2))
    assert not file.exists()

    def refuse(*_, **__):
        raise PermissionError(13, "denied")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", refuse)
        with pytest.raises(StorageError, match="permission was denied"):
            remove(Leftover(folder.parent, "", 0))
    remove(Leftover(folder.parent, "", 0))
    assert not folder.parent.exists()


def test_temporary_files_of_killed_processes_are_left_over(tmp_path):
    dead, living = replace(Owner.this_process(), process_start=1).mark, Owner.this_process().mark
    elsewhere = tmp_path / "elsewhere"
    for folder in ("data/03_primary/demo", "data/01_raw", "data/01_raw/demo", "data/01_raw/demo/jazz", "elsewhere/x"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f".store-{dead}-abcdefgh").mkdir()
        (tmp_path / folder / f".store-{dead}-abcdefgh" / "frames.bin").write_bytes(b"1234")
        (tmp_path / folder / f".store-{living}-abcdefgh").mkdir()
        (tmp_path / folder / ".audit-abcd1234.json").write_bytes(b"12")
    found = abandoned_files(tmp_path / "data", [elsewhere])
    # Not among the music itself, where there may be very many files.
    folders = ["data/01_raw", "data/01_raw/demo", "data/03_primary/demo", "elsewhere/x"]
    assert [str(each.path.parent.relative_to(tmp_path)) for each in found] == folders
    assert {(each.reason, each.n_bytes) for each in found} == {("temporary file of a process that is gone", 4)}
    # Those of earlier releases are among results only: what is hidden beside music is somebody's.
    earlier = {each.path for each in abandoned_files(tmp_path / "data", [elsewhere], unmarked=True)}
    assert earlier - {each.path for each in found} == {
        tmp_path / "data/03_primary/demo/.audit-abcd1234.json",
        tmp_path / "elsewhere/x/.audit-abcd1234.json",
    }
    for each in found:
        remove(each)
    assert abandoned_files(tmp_path / "data", [elsewhere]) == []


@pytest.mark.parametrize("name", ["data", "my music", "a;b $HOME", "it's 50%", "-rf"])
def test_make_clean_stays_in_the_data_folder_whatever_that_is_called(tmp_path, name):
    data = tmp_path / name
    for path in (data / "06_models", data / "01_raw" / "demo", data / "01_raw" / "my_music", tmp_path / "my"):
        path.mkdir(parents=True)
    command = ["make", "-f", str(PROJECT_ROOT / "Makefile"), "clean"]
    subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "GENRE_PIPELINE_DATA": name}, check=True, capture_output=True
    )
    assert sorted(str(path.relative_to(data)) for path in data.rglob("*")) == ["01_raw", "01_raw/my_music"]
    assert (tmp_path / "my").is_dir()

"""Every file of a finished experiment is damaged: each is named in a line, or made again as it was."""

import itertools
import logging
import os
import random
from contextlib import suppress

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError

from genre_pipeline.cli import cli
from genre_pipeline.errors import GenrePipelineError, StorageError
from genre_pipeline.ops.refresh import records
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refreshing import Request, plan_refresh
from genre_pipeline.project import PROJECT_ROOT
from kedro_sessions import new_session, run

SVM = {"experiment": {"models": ["svm"], "protocols": ["artist_kfold"]}}
SVM_CELL = "demo.artist_kfold.mfcc_20.svm"
DAMAGES = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: random.Random(len(content)).randbytes(100),
}


def plan(**options):
    return plan_refresh(Request(experiment="test", **options))


def causes(**options):
    """Return why steps are stale, by name, of those that the finished experiment has."""
    return {step: "; ".join(cause.text for cause in found) for step, found in plan(**options).causes.items()}


def results(data):
    """Return the files of results: music, MLflow and what is told of refreshes are none."""
    kept = {"01_raw", "mlflow", "refresh"}
    return sorted(path for path in data.rglob("*") if path.is_file() and path.relative_to(data).parts[0] not in kept)


def damage(path, how):
    content = path.read_bytes()
    times = path.stat()
    path.write_bytes(DAMAGES[how](content))

    def undo():
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return undo


@pytest.fixture
def graph(finished_copy):
    """The steps; nothing is stale in the copy but what depends on what the folder is called."""
    assert causes() == {}
    return plan().graph


def files_of(graph, data):
    """Return the entry that each file belongs to."""
    return {
        (entry.path.parent / path).resolve(): name
        for name, entry in graph.entries.items()
        if (record := records.read_record(entry.record)) is not None
        for path in record.results
    }


def test_each_damaged_file_makes_its_own_step_stale_and_no_other(graph, finished_copy):
    owners = files_of(graph, finished_copy)
    assert len(owners) > len(graph.entries)
    for (path, entry), how in zip(sorted(owners.items()), itertools.cycle(DAMAGES), strict=False):
        if DAMAGES[how](path.read_bytes()) == path.read_bytes():
            continue
        undo = damage(path, how)
        found = causes()
        undo()
        assert set(found) == {graph.producers[entry]}, path
        label = records.label_of(entry)
        assert f"{label}: changed on disk since it was written" in found[graph.producers[entry]]
        assert path.name in found[graph.producers[entry]]
    assert causes() == {}


def _load(catalog, entry):
    """Load an entry; what cannot be read must be an error that names the file."""
    with suppress(GenrePipelineError, DatasetError):
        catalog.load(entry)


@pytest.mark.parametrize("how", DAMAGES)
def test_what_is_damaged_is_named_by_whatever_reads_it(graph, finished_copy, how):
    for path in results(finished_copy):
        damage(path, how)
    for path in (finished_copy / "refresh").glob("*"):
        if path.suffix != ".lock":
            damage(path, how)
    assert set(causes()) == {step.name for step in graph.steps}
    assert Journal.read(finished_copy / "refresh" / "journal.json").steps_run == []
    catalog = new_session().load_context().catalog
    for entry in graph.entries:
        _load(catalog, entry)
    bootstrap_project(PROJECT_ROOT)
    for command in (
        ["leaderboard", "--experiment", "test"],
        ["stores", "list", "--experiment", "test"],
        ["prune", "--keep", "1", "--dry-run"],
        ["compare", "--experiment", "test"],
        ["refresh", "--experiment", "test", "--dry-run"],
    ):
        told = CliRunner().invoke(cli, command)
        assert told.exception is None or isinstance(told.exception, SystemExit), (command, told.exception)
        assert "Traceback" not in told.output


def test_a_copy_with_other_times_is_not_stale_and_read_once(graph, finished_copy, monkeypatch):
    for path in results(finished_copy):
        os.utime(path, ns=(1, 1))
    assert causes() == {}
    monkeypatch.setattr(records, "file_hash", lambda path: pytest.fail(f"{path} is read again"))
    assert causes() == {}


def test_an_edit_that_size_and_time_hide_is_found_by_content(graph, finished_copy):
    (path,) = (finished_copy / "07_model_output/test/demo/artist_kfold/mfcc_20/svm/results.json").glob("*/*.json")
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(content.replace(b"0.", b"1.", 1))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert causes() == {}
    found = causes(check_content=True)
    assert set(found) == {f"{SVM_CELL}.score"}
    assert f"results of {SVM_CELL}: changed on disk since it was written (results.json/" in found[f"{SVM_CELL}.score"]
    # From then on it is seen without being read.
    assert set(causes()) == {f"{SVM_CELL}.score"}


def test_a_session_does_not_read_what_was_edited(finished_copy):
    (path,) = (finished_copy / "07_model_output/test/demo/artist_kfold/mfcc_20/svm/predictions.parquet").glob("*/*")
    pd.read_parquet(path).assign(track_id="demo").to_parquet(path)
    refused = pytest.raises(StorageError, match=rf"predictions of {SVM_CELL}: changed on disk .*Run 'kedro refresh'")
    with new_session(**SVM) as session, refused:
        session.run(pipeline_names=["train_all"], node_names=[f"{SVM_CELL}.score"], fresh=True)


def test_a_session_makes_again_what_was_damaged(finished_copy, caplog):
    board = finished_copy / "08_reporting/test/leaderboard.csv"
    columns = ["model", "track_accuracy_mean", "segment_accuracy_mean"]
    before = pd.read_csv(board).query("model == 'svm' and protocol == 'artist_kfold'")[columns]
    for path in results(finished_copy):
        # On which side each track stands cannot be known again: see tests/splits.
        if path.parent.parent.parent != finished_copy / "03_primary":
            damage(path, "cut")
    (finished_copy / "refresh" / "last_session").write_text("zzz")
    with caplog.at_level(logging.WARNING):
        run("train_all", **SVM)
    assert "last_session cannot be read" in caplog.text
    pd.testing.assert_frame_equal(pd.read_csv(board)[columns], before.reset_index(drop=True))

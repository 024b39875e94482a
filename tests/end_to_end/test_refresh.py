"""``kedro refresh``: each change reruns exactly what depends on it. The rows are those of docs/refresh.md."""

import dataclasses
import errno
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.runner import SequentialRunner, ThreadRunner

from genre_pipeline import storage
from genre_pipeline.errors import RefreshError
from genre_pipeline.features import FEATURES
from genre_pipeline.models import MODELS
from genre_pipeline.ops.refresh.journal import Journal
from genre_pipeline.ops.refresh.place import journal_path
from genre_pipeline.ops.refreshing import Request, plan_refresh
from genre_pipeline.pipelines.compare.nodes import draw_comparison
from genre_pipeline.runner import StaleRunner
from genre_pipeline.stages import stage_of
from genre_pipeline.tracking.tracker import MlflowTracker
from kedro_sessions import (
    copy_database,
    do_without_drawing,
    forget_sessions,
    given,
    new_session,
    settle,
    write_own_clip,
)

ONE_DATASET: dict[str, Any] = {
    "experiment": {
        "name": "own",
        "datasets": ["my_music"],
        "models": ["naive_bayes", "svm"],
    }
}
MODELS_HERE = ONE_DATASET["experiment"]["models"]


def steps(text):
    """Read names of steps, without the dataset's."""
    return {f"my_music.{name}" for name in text.split()}


INGEST = steps("ingest write_card")
SPLIT = steps("artist_kfold.split artist_kfold.write_card")
FEATURE = steps("mfcc_20.segment mfcc_20.extract mfcc_20.draw")
COMPARE = {
    *steps("artist_kfold.collect collect choose_model register"),
    *("rank_cells", "tabulate_metrics", "compare_settings", "draw_comparison", "stills.draw_stills", "write_report"),
}
PAIRS = {"my_music.artist_kfold.pair_cells", "join_pairs"}


def cell(model, *, parts="train predict score compare_with_previous list_mistakes"):
    train = {"train": f"train_{model}"}
    return {f"my_music.artist_kfold.mfcc_20.{model}.{train.get(part, part)}" for part in parts.split()}


CELLS = cell("naive_bayes") | cell("svm")
SCORES = cell("naive_bayes", parts="score") | cell("svm", parts="score")
CHANGES = cell("naive_bayes", parts="compare_with_previous") | cell("svm", parts="compare_with_previous")
MISTAKES = cell("naive_bayes", parts="list_mistakes") | cell("svm", parts="list_mistakes")
# The report shows tracks with their artists and titles.
SHOWN = MISTAKES | {"write_report"}
# What another confidence changes.
CONFIDENCE = COMPARE | PAIRS
EVERYTHING = INGEST | SPLIT | FEATURE | CELLS | COMPARE | PAIRS


@dataclass(frozen=True)
class Row:
    """A change, and what it costs.

    Attributes:
        change: Makes it, in the dataset's folder.
        ran: The nodes that run.
        inspected: How many files are opened.
        extracted: Of how many tracks features are computed.
        trained: How many repeats are trained.
        track: A track whose repeats are trained besides, where it trains or validates: as tracks keep their side, those
            that it tests are as they were.
        parameters: The parameters from then on.
    """

    change: Callable[[Path, pytest.MonkeyPatch], None]
    ran: set[str]
    inspected: int = 0
    extracted: int = 0
    trained: int = 0
    track: str = ""
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)


def nothing(root, patch):
    """Leave everything as it is."""


def add_track(root, patch):
    write_own_clip(root / "jazz" / "new.wav", seed=1000)


def change_track(root, patch):
    write_own_clip(root / "jazz" / "2.wav", seed=1001)


def touch_track(root, patch):
    os.utime(root / "jazz" / "2.wav", ns=(1, 1))


def rename_track(root, patch):
    (root / "rock" / "1.wav").rename(root / "rock" / "renamed.wav")
    edit_metadata(root, "rock/1.wav", "rock/renamed.wav")


def remove_track(root, patch):
    (root / "rock" / "0.wav").unlink()
    edit_metadata(root, "rock/0.wav,,rock 0,One\n", "")


def correct_artist(root, patch):
    edit_metadata(root, "jazz/0.wav,,Ann,One", "jazz/0.wav,,Bob,One")


def join_artists(root, patch):
    """Find that a track is by an artist who stands on other sides."""
    sides = split_of(root.parents[1]).pivot(index="track_id", columns="repeat", values="split")
    others = [
        name for name in sides.index if name.startswith("jazz") and (sides.loc[name] != sides.loc["jazz/0"]).all()
    ]
    edit_metadata(root, "jazz/0.wav,,Ann,One", f"jazz/0.wav,,{others[0].replace('/', ' ')},One")


def correct_title(root, patch):
    edit_metadata(root, "jazz/0.wav,,Ann,One", "jazz/0.wav,,Ann,Two")


def correct_genre(root, patch):
    edit_metadata(root, "jazz/0.wav,,Ann,One", "jazz/0.wav,rock,Ann,One")


def edit_metadata(root, old, new):
    path = root / "metadata.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def renew_extractor(root, patch):
    renewed = dataclasses.replace(FEATURES["mfcc"], version=FEATURES["mfcc"].version + 1)
    patch.setitem(FEATURES._members, "mfcc", renewed)


def renew_model(root, patch):
    renewed = dataclasses.replace(MODELS["svm"], version=MODELS["svm"].version + 1)
    patch.setitem(MODELS._members, "svm", renewed)


def renew_figures(root, patch):
    patch.setattr(draw_comparison, "stage", dataclasses.replace(stage_of(draw_comparison), version=99))


def lose_leaderboard(root, patch):
    (root.parents[1] / "08_reporting" / "own" / "leaderboard.csv").unlink()


def new_dataset(root, patch):
    for number, genre in enumerate(("jazz", "rock")):
        for track in range(9):
            write_own_clip(root.with_name("more_music") / genre / f"{track}.wav", seed=2000 + 100 * number + track)


SVM_TOO = {"family": "svm", "feature": "mfcc_20", "architecture": {"c": 3.0}}

ROWS = {
    "nothing": Row(nothing, set()),
    "a new track": Row(add_track, EVERYTHING, inspected=1, extracted=1, track="jazz/new"),
    "a changed track": Row(
        change_track,
        EVERYTHING - steps("artist_kfold.write_card mfcc_20.segment"),
        inspected=1,
        extracted=1,
        track="jazz/2",
    ),
    "a touched track": Row(touch_track, steps("ingest"), inspected=1),
    "a renamed track": Row(rename_track, EVERYTHING, inspected=1, track="rock/renamed"),
    "a removed track": Row(remove_track, EVERYTHING, track="rock/0"),
    "another artist": Row(
        correct_artist, INGEST | steps("artist_kfold.split artist_kfold.pair_cells register") | SCORES | SHOWN
    ),
    "an artist of other tracks": Row(join_artists, INGEST | SPLIT | CELLS | COMPARE | PAIRS, trained=4),
    "another title": Row(correct_title, INGEST | SHOWN),
    "another genre": Row(correct_genre, EVERYTHING - steps("mfcc_20.extract"), track="jazz/0"),
    "a parameter of a model": Row(
        nothing, cell("svm") | COMPARE | PAIRS, trained=2, parameters={"models": {"svm": {"architecture": {"c": 3.0}}}}
    ),
    "a new model": Row(
        nothing,
        {name.replace("svm", "svm_too") for name in cell("svm")} | COMPARE | PAIRS,
        parameters={"experiment": {"models": ["naive_bayes", "svm", "svm_too"]}, "models": {"svm_too": SVM_TOO}},
    ),
    "a new dataset": Row(
        new_dataset,
        # With several datasets, models are registered with their dataset's name.
        {name.replace("my_music", "more_music") for name in EVERYTHING} | steps("register"),
        parameters={
            "experiment": {"datasets": ["my_music", "more_music"]},
            "datasets": {"more_music": {"kind": "folder", "path": "01_raw/more_music"}},
        },
    ),
    "the confidence": Row(
        nothing,
        SCORES | CHANGES | MISTAKES | CONFIDENCE,
        parameters={"evaluation": {"confidence": 0.9}},
    ),
    "the seed": Row(nothing, CELLS | COMPARE | PAIRS, trained=4, parameters={"experiment": {"seed": 7}}),
    "a new version of a feature": Row(
        renew_extractor, FEATURE - steps("mfcc_20.segment") | CELLS | COMPARE | PAIRS, extracted=18, trained=4
    ),
    "a new version of a model": Row(renew_model, cell("svm") | COMPARE | PAIRS, trained=2),
    "a new version of the figures": Row(renew_figures, {"draw_comparison"}),
    "a lost leaderboard": Row(lose_leaderboard, {"rank_cells"}),
}


def merged(parameters):
    experiment = {**ONE_DATASET["experiment"], **parameters.get("experiment", {})}
    return {**parameters, "experiment": experiment}


def for_session(parameters, data):
    """Give the datasets of a row their place."""
    datasets = {
        name: {**values, "path": str(data / values["path"])} for name, values in parameters.get("datasets", {}).items()
    }
    return {**parameters, "datasets": datasets} if datasets else parameters


def refresh(parameters=None):
    """Run what is stale, and return the names of the steps that ran."""
    # A session with nothing to do writes none.
    journal_path().unlink(missing_ok=True)
    with new_session(**merged(parameters or {})) as session:
        session.run(runner=StaleRunner())
    forget_sessions()
    return set(Journal.read(journal_path()).steps_run)


def plan(parameters=None, **options):
    return plan_refresh(Request(runtime_params=given(**merged(parameters or {})), **options))


def newest(data, entry):
    path = data / entry
    return json.loads(max(path.glob(f"*/{path.name}")).read_text())


def do_without_shows(patch):
    """Leave out MLflow's runs of cells, which take longer than all the rest, and what figures look like."""
    do_without_drawing(patch)
    patch.setattr(MlflowTracker, "write", lambda *_: None)
    patch.setattr(MlflowTracker, "history", lambda *_: (None, None))


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory, database):
    """A data folder in which everything was made."""
    folder = tmp_path_factory.mktemp("refreshed")
    data = folder / "data"
    copy_database(database, data)
    root = data / "01_raw" / "my_music"
    lines = ["path,genre,artist,title"]
    for number, genre in enumerate(("jazz", "rock")):
        for track in range(9):
            write_own_clip(root / genre / f"{track}.wav", seed=100 * number + track)
            lines.append(f"{genre}/{track}.wav,,{'Ann' if genre == 'jazz' and track == 0 else f'{genre} {track}'},One")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, data, folder)
        do_without_shows(patch)
        assert refresh() == EVERYTHING
    return data


@pytest.fixture
def music(refreshed, tmp_path, monkeypatch):
    """A copy of it, which the test may change."""
    data = tmp_path / "data"
    shutil.copytree(refreshed, data)
    settle(monkeypatch, data, tmp_path)
    do_without_shows(monkeypatch)
    yield data / "01_raw" / "my_music"
    forget_sessions()


@pytest.mark.parametrize("name", ROWS)
def test_what_depends_on_it_is_run_again(music, monkeypatch, name):
    row = ROWS[name]
    data = music.parents[1]
    before, repeats = trainings(data), repeats_that_see(data, row.track)
    row.change(music, monkeypatch)
    parameters = for_session(row.parameters, data)
    predicted = plan(parameters)
    ran = refresh(parameters)
    # Tables of pairs are joined where a comparison came out differently, which the noise decides.
    assert ran - {"join_pairs"} == row.ran - {"join_pairs"}
    assert set(predicted.stale) >= ran
    inspected = newest(data, "02_intermediate/my_music/quality.json")["n_inspected"]
    extracted = newest(data, "04_feature/my_music/mfcc_20_extraction.json")["n_extracted"]
    assert (inspected if "my_music.ingest" in ran else 0) == row.inspected
    assert (extracted if "my_music.mfcc_20.extract" in ran else 0) == row.extracted
    repeats |= repeats_that_see(data, row.track)
    assert sum(trainings(data)[path] != before[path] for path in before) == row.trained + len(MODELS_HERE) * len(
        repeats
    )
    assert plan(parameters).stale == []


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_a_run_without_refresh_runs_the_same_nodes(music, monkeypatch, caplog, runner):
    row = ROWS["a parameter of a model"]
    parameters = for_session(row.parameters, music.parents[1])
    with caplog.at_level(logging.DEBUG, logger="genre_pipeline"), new_session(**merged(parameters)) as session:
        session.run(runner=runner())
    forget_sessions()
    skipped = {name for name in EVERYTHING if f"{name}: up to date" in caplog.messages}
    assert EVERYTHING - skipped - {"join_pairs"} == row.ran - {"join_pairs"}
    assert plan(parameters).stale == []


def split_of(data):
    return pd.read_parquet(max((data / "03_primary/my_music/artist_kfold/split.parquet").glob("*/*")))


def repeats_that_see(data, track):
    """Return the repeats that train or validate on a track."""
    split = split_of(data)
    return set(split[(split["track_id"] == track) & (split["split"] != "test")]["repeat"])


def trainings(data):
    """Return when each checkpoint was written."""
    return {path.parent.relative_to(data): path.stat().st_mtime_ns for path in data.glob("06_models/**/card.json")}


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission was denied")]
)
def test_a_refusal_to_write_leaves_the_last_results_and_the_rest_goes_on(music, monkeypatch, code, message):
    """Also with the clock set back: newer results come after older ones all the same."""
    data = music.parents[1]
    (data / "refresh" / "last_session").write_text("2999-12-31T23.59.59.999Z")
    parameters = {"evaluation": {"confidence": 0.9}}
    results = "07_model_output/own/my_music/artist_kfold/mfcc_20/{}/results.json"
    before = newest(data, results.format("svm"))
    make_file = storage.tempfile.mkstemp

    def refuse(*arguments, **options):
        if str(data / results.format("svm")) in str(options.get("dir")):
            raise OSError(code, os.strerror(code))
        return make_file(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(storage.tempfile, "mkstemp", refuse)
        stated = r"1 step failed, and \d+ that need their results did not run; the others are up to date\.\n"
        with pytest.raises(RefreshError, match=rf"{stated}.*svm\.score: Cannot write .*: {message}"):
            refresh(parameters)
    forget_sessions()
    journal = Journal.read(journal_path())
    after = ("score", "compare_with_previous", "list_mistakes")
    assert journal.steps_run == [name for part in after for name in cell("naive_bayes", parts=part)]
    assert set(journal.steps_blocked) == COMPARE | PAIRS | cell("svm", parts="compare_with_previous list_mistakes")
    assert newest(data, results.format("svm")) == before
    versions = [path.parent.name for path in (data / results.format("naive_bayes")).glob("*/results.json")]
    assert max(versions) == "3000-01-01T00.00.00.000Z"
    assert refresh(parameters) == cell("svm", parts="score compare_with_previous list_mistakes") | CONFIDENCE
    assert plan(parameters).stale == []


def test_kills_and_rivals_change_nothing(refreshed, tmp_path):
    """Killed at five points and run again, it all is as if nothing had happened; a second refresh is refused."""
    before = json.loads(
        max((refreshed / "07_model_output/own/my_music/artist_kfold/mfcc_20/svm/results.json").glob("*/*")).read_text()
    )
    folders = [tmp_path / name for name in ("straight", "killed")]
    for folder in folders:
        shutil.copytree(refreshed, folder)
        write_own_clip(folder / "01_raw" / "my_music" / "jazz" / "new.wav", seed=1000)
    script = Path(__file__).parents[1] / "refresh_until_killed.py"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, folders), json.dumps(ONE_DATASET)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    killed = dict.fromkeys(("inspecting", "extracting", "trained", "scoring", "reporting"), -signal.SIGKILL)
    assert told["codes"] == {**killed, "finished": 0, "second of two": 7, "first of two": 0}
    assert re.search(r"process \d+ on .* \(since .*\) is refreshing", done.stderr)
    assert told["killed"]["parts"] == told["straight"]["parts"]
    # Killed in the report, the last of all.
    assert set(told["killed"]["ran"]) == {"write_report"}
    assert set(told["straight"]["ran"]) == EVERYTHING
    assert told["straight"]["stale"] == told["killed"]["stale"] == []
    after = json.loads(
        max((folders[0] / "07_model_output/own/my_music/artist_kfold/mfcc_20/svm/results.json").glob("*/*")).read_text()
    )
    assert sum(after["n_tracks"].values()) == sum(before["n_tracks"].values()) + 1
    assert after["summary"] != before["summary"]

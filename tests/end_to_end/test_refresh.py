"""``kedro refresh``: each change reruns exactly what depends on it. The rows are those of docs/refresh.md."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genre_pipeline.features import FEATURES
from genre_pipeline.models import MODELS
from genre_pipeline.pipelines import dependencies
from genre_pipeline.refresh.journal import Journal
from genre_pipeline.refresh.place import journal_path
from genre_pipeline.refreshing import Request, plan_refresh
from genre_pipeline.runner import StaleRunner
from genre_pipeline.tracking.tracker import MlflowCellRun
from kedro_sessions import copy_database, forget_sessions, new_session, settle, write_own_clip

ONE_DATASET: dict[str, Any] = {
    "experiment": {
        "datasets": ["my_music"],
        "protocols": ["artist_kfold"],
        "models": ["naive_bayes", "svm"],
        "exclude": [],
    }
}
N_REPEATS = 2


def steps(text):
    """Read names of steps, without the dataset's."""
    return {f"my_music.{name}" for name in text.split()}


INGEST = steps("ingest write_card")
SPLIT = steps("artist_kfold.split artist_kfold.write_card")
FEATURE = steps("mfcc_20.segment mfcc_20.extract mfcc_20.draw")
COMPARE = {
    *steps("artist_kfold.collect collect"),
    *("rank_cells", "tabulate_metrics", "compare_settings", "draw_comparison", "stills.draw_stills", "write_report"),
}
PAIRS = {"my_music.artist_kfold.pair_cells", "join_pairs"}


def cell(model, *, parts="train predict score"):
    train = {"train": f"train_{model}"}
    return {f"my_music.artist_kfold.mfcc_20.{model}.{train.get(part, part)}" for part in parts.split()}


CELLS = cell("naive_bayes") | cell("svm")
EVERYTHING = INGEST | SPLIT | FEATURE | CELLS | COMPARE | PAIRS


@dataclass(frozen=True)
class Row:
    """A change, and what it costs."""

    change: Callable[[Path, pytest.MonkeyPatch], None]
    ran: set[str]
    inspected: int = 0
    extracted: int = 0
    trained: int = 0
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


def remove_track(root, patch):
    (root / "rock" / "0.wav").unlink()


def correct_artist(root, patch):
    edit_metadata(root, "jazz/0.wav,,Ann,One", "jazz/0.wav,,Bob,One")


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
    declared = dict(dependencies._DEPENDENCES)
    patch.setitem(
        dependencies._DEPENDENCES,
        dependencies.compare.draw_comparison,
        lambda parameters: dependencies.Dependence({"figures": 99}),
    )
    assert declared != dependencies._DEPENDENCES


def lose_leaderboard(root, patch):
    (root.parents[1] / "08_reporting" / "test" / "leaderboard.csv").unlink()


ROWS = {
    "nothing": Row(nothing, set()),
    "a new track": Row(add_track, EVERYTHING, inspected=1, extracted=1, trained=4),
    "a changed track": Row(
        change_track,
        EVERYTHING - steps("artist_kfold.write_card mfcc_20.segment"),
        inspected=1,
        extracted=1,
        trained=4,
    ),
    "a touched track": Row(touch_track, steps("ingest"), inspected=1),
    "a renamed track": Row(rename_track, EVERYTHING, inspected=1, trained=4),
    "a removed track": Row(remove_track, EVERYTHING, trained=4),
    "another artist": Row(correct_artist, INGEST | SPLIT | CELLS | COMPARE | PAIRS, trained=4),
    "another title": Row(correct_title, INGEST),
    "another genre": Row(correct_genre, EVERYTHING, trained=4),
    "a parameter of a model": Row(
        nothing, cell("svm") | COMPARE | PAIRS, trained=2, parameters={"models": {"svm": {"architecture": {"C": 3.0}}}}
    ),
    "the confidence": Row(
        nothing,
        cell("naive_bayes", parts="score") | cell("svm", parts="score") | COMPARE | PAIRS,
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


def refresh(parameters=None):
    """Run what is stale, and return the names of the steps that ran."""
    with new_session("test", **merged(parameters or {})) as session:
        session.run(runner=StaleRunner())
    forget_sessions()
    return set(Journal.read(journal_path()).steps_run)


def plan(parameters=None, **options):
    return plan_refresh(Request(env="test", runtime_params=merged(parameters or {}), **options))


def newest(data, entry):
    path = data / entry
    return json.loads(max(path.glob(f"*/{path.name}")).read_text())


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
        patch.setattr(MlflowCellRun, "log_model", lambda *_, **__: None)
        assert refresh() == EVERYTHING
    return data


@pytest.fixture
def music(refreshed, tmp_path, monkeypatch):
    """A copy of it, which the test may change."""
    data = tmp_path / "data"
    shutil.copytree(refreshed, data)
    settle(monkeypatch, data, tmp_path)
    monkeypatch.setattr(MlflowCellRun, "log_model", lambda *_, **__: None)
    yield data / "01_raw" / "my_music"
    forget_sessions()


@pytest.mark.parametrize("name", ROWS)
def test_what_depends_on_it_is_run_again(music, monkeypatch, name):
    row = ROWS[name]
    data = music.parents[1]
    before = trainings(data)
    row.change(music, monkeypatch)
    predicted = plan(row.parameters)
    ran = refresh(row.parameters)
    assert ran == row.ran
    assert set(predicted.stale) >= ran
    inspected = newest(data, "02_intermediate/my_music/quality.json")["n_inspected"]
    extracted = newest(data, "04_feature/my_music/mfcc_20_extraction.json")["n_extracted"]
    assert (inspected if "my_music.ingest" in ran else 0) == row.inspected
    assert (extracted if "my_music.mfcc_20.extract" in ran else 0) == row.extracted
    assert sum(trainings(data)[path] != before[path] for path in before) == row.trained
    assert plan(row.parameters).stale == []


def trainings(data):
    """Return when each checkpoint was written."""
    return {path.parent.relative_to(data): path.stat().st_mtime_ns for path in data.glob("06_models/**/card.json")}

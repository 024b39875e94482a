"""``genre-pipeline train FOLDER``: from a folder of music to a comparison of classifiers and a model to use."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from genre_pipeline.cells import check_name
from genre_pipeline.configuration import ConfigLoader, load_configuration
from genre_pipeline.datasets import DATASETS, DatasetBlock
from genre_pipeline.errors import ConfigError, DatasetError, RefreshError
from genre_pipeline.experiment import Experiment, load_experiment
from genre_pipeline.features import FEATURES
from genre_pipeline.ingest.ingest import ingest
from genre_pipeline.locks import only_one
from genre_pipeline.ops.estimating import estimate
from genre_pipeline.ops.refreshing import run_command
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.registry import suggestion
from genre_pipeline.reporting.wording import duration
from genre_pipeline.splits.identities import artist_keys, linked_groups
from genre_pipeline.storage import atomic_file

# Tried in this order, as many as fit into the time; one whose feature needs pretrained weights, if they are installed.
_MODELS = ("naive_bayes", "svm", "probe_logistic", "recommended", "net1", "crnn_gru_small", "net2")
# [?] Folds of a comparison, and the fewest that leave training, validation and test tracks.
_N_FOLDS = 5
_FEWEST_FOLDS = 3
_FEWEST_GENRES = 2
# Files of such names are other parts of the configuration.
_RESERVED = ("catalog", "credentials", "globals", "logging", "mlflow", "parameters")
_HEAD = "# Written by 'genre-pipeline train', which rewrites it. Copy it under another name to change it.\n"


@dataclass(frozen=True)
class OwnMusic:
    """A folder of music, and how its genres are found.

    Attributes:
        folder: The folder.
        name: Name of the experiment and of the dataset.
        tags: What the files' own tags are read for, see :class:`~genre_pipeline.datasets.base.DatasetBlock`.
        merge: Genres to be counted as another one.
        leave_out: Genres to leave out.
    """

    folder: Path
    name: str
    tags: Literal["artists", "genres"] = "artists"
    merge: Mapping[str, str] = field(default_factory=dict)
    leave_out: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Survey:
    """What a folder holds, once its files were inspected.

    Attributes:
        tracks: The usable tracks.
        n_units: Artists of each genre, or tracks where artists are unknown; the most numerous genre first.
        protocol: The protocol that fits: ``artist_kfold`` if any artist is known, else ``track_kfold``.
        n_folds: Its number of folds.
    """

    tracks: pd.DataFrame
    n_units: Mapping[str, int]
    protocol: str
    n_folds: int

    def describe(self) -> str:
        """State what was found and which protocol is used, for people."""
        genres = ", ".join(f"{genre} ({n})" for genre, n in self.n_units.items())
        n_unknown = int((artist_keys(self.tracks) == "").sum())
        known = "no artist is in both training and test"
        if n_unknown:
            known += f", as far as artists are known; {n_unknown} tracks have none"
        if self.protocol != "artist_kfold":
            known = (
                "artists unknown, so that one may be in both: numbers are marked LEAKY. Name artists in the files' "
                "tags, or in a metadata.csv with the columns path and artist"
            )
        return (
            f"{len(self.tracks)} tracks, {len(self.n_units)} genres; {self.unit} per genre: {genres}.\n"
            f"Protocol {self.protocol} with {self.n_folds} folds: {known}."
        )

    def describe_short(self) -> str:
        """State which genres are too small, for people."""
        short = ", ".join(f"{genre} ({self.n_units[genre]})" for genre in self.short)
        return (
            f"{self.protocol} with {self.n_folds} folds needs {self.n_folds} {self.unit} of each genre. Fewer: {short}."
        )

    @property
    def unit(self) -> str:
        """What the protocol keeps together, in the plural."""
        return "artists" if self.protocol == "artist_kfold" else "tracks"

    @property
    def short(self) -> list[str]:
        """Genres with fewer artists (tracks) than folds, the most numerous first."""
        return [genre for genre, n in self.n_units.items() if n < self.n_folds]


@dataclass(frozen=True)
class Plan:
    """What will be compared.

    Attributes:
        models: The models that fit into the time.
        expected_s: How many seconds features and trainings take, at most.
        model_s: The same for each model alone, also of those that do not fit.
        lacking: What is missing for each model that cannot be trained, in a sentence.
    """

    models: tuple[str, ...]
    expected_s: float
    model_s: Mapping[str, float]
    lacking: Mapping[str, str] = field(default_factory=dict)

    def describe(self) -> str:
        """State what is trained and how long it takes at most, for people."""
        left_out = [f"{model} ({duration(s)})" for model, s in self.model_s.items() if model not in self.models]
        more = f" Not within the time: {', '.join(left_out)}; --minutes allows more." if left_out else ""
        return (
            f"Trains {', '.join(self.models)}: features and trainings take at most {duration(self.expected_s)} on this "
            f"machine; scores and report come on top.{more}"
            + "".join(f"\nWithout {model}: {reason}" for model, reason in self.lacking.items())
        )


def name_of(folder: Path) -> str:
    """Make a folder's name one that an experiment can have.

    Example:
        >>> name_of(Path("Music/By Genre (2024)"))
        'by_genre_2024'
    """
    words = "_".join(re.findall(r"[a-z0-9]+", folder.resolve().name.casefold()))
    is_free = words[:1].isalpha() and not words.startswith(_RESERVED)
    return check_name(words if is_free else f"music_{words}".rstrip("_"), kind="experiment")


def only_here(music: OwnMusic) -> AbstractContextManager[object]:
    """Keep other processes from training an experiment of the same name; ends with this process at the latest.

    Raises:
        ConfigError: If the name cannot be an experiment's.
        RefreshError: On entering, if another process trains it.
    """
    path = _path(check_name(music.name, kind="experiment"))
    return only_one(path, lambda owner: RefreshError(f"{owner} trains '{music.name}'. Wait until that ends."))


def survey(music: OwnMusic) -> Survey:
    """Inspect a folder's files and choose the protocol.

    Raises:
        DatasetError: If the folder holds no music, or fewer than two genres.
        ConfigError: If the experiment's name is taken.
    """
    check_name(music.name, kind="experiment")
    _check_free(music)
    both = sorted(music.merge.keys() & {*music.merge.values()})
    if both:
        raise ConfigError(f"'{both[0]}' is counted as another genre, and another genre as '{both[0]}': leave out one.")
    if not music.folder.is_dir():
        raise DatasetError(f"{music.folder} is not a folder. Expected one that holds music.")
    with _as_before(music):
        return _survey(music)


def _survey(music: OwnMusic) -> Survey:
    _write(music, {})
    loader = load_configuration(experiment=music.name)
    experiment = load_experiment(loader["parameters"])
    block = experiment.datasets[music.name]
    cache, n_workers = _catalog(loader).load(f"{music.name}.inspections"), experiment.compute.workers()

    def usable(chosen: DatasetBlock) -> pd.DataFrame:
        tracks = ingest(music.name, DATASETS[block.kind], chosen, cache=cache, n_workers=n_workers).tracks
        return tracks.loc[~tracks["quarantined"]]

    tracks = usable(block)
    genres = {*tracks["genre"]}
    if music.merge:
        # Files that were inspected are not opened again.
        genres |= {*usable(block.model_copy(update={"merge": {}}))["genre"]}
    for name in [*music.merge, *music.leave_out]:
        if name not in genres:
            raise ConfigError(f"There is no genre '{name}' in {music.folder}. {suggestion(name, genres)}")
    found = choose_protocol(tracks.loc[~tracks["genre"].isin(music.leave_out)].reset_index(drop=True))
    if len(found.n_units) < _FEWEST_GENRES:
        raise DatasetError(
            f"{music.folder}: expected at least {_FEWEST_GENRES} genres, got {', '.join(found.n_units) or 'none'}. "
            "Expected one sub-folder per genre, or genres in the files' tags."
        )
    return found


def choose_protocol(tracks: pd.DataFrame) -> Survey:
    """Choose a protocol that keeps apart what is known to belong together.

    Args:
        tracks: The usable tracks.

    Returns:
        What the folder holds. Folds are five, or fewer where that leaves fewer genres without enough artists (tracks).
    """
    groups = linked_groups(tracks)
    artists = pd.Series(groups, index=tracks.index).groupby(tracks["genre"]).nunique()
    is_known = bool((tracks["artist"].fillna("") != "").any())
    n_units = artists.sort_values(ascending=False, kind="stable")
    return Survey(
        tracks=tracks,
        n_units={str(genre): int(n) for genre, n in n_units.items()},
        protocol="artist_kfold" if is_known else "track_kfold",
        n_folds=max(range(_FEWEST_FOLDS, _N_FOLDS + 1), key=lambda n_folds: (-(n_units < n_folds).sum(), n_folds)),
    )


def plan(music: OwnMusic, found: Survey, *, minutes: float) -> Plan:
    """Choose the models that fit into the time.

    Args:
        music: The folder.
        found: What it holds.
        minutes: How long features and trainings may take together, by the estimate.

    Returns:
        The experiment and its estimate; at least the fastest model, however little time there is.
    """
    with _as_before(music):
        planned = _plan(music, found, minutes=minutes)
    _write(music, _experiment_file(music, found, planned.models))
    return planned


def _plan(music: OwnMusic, found: Survey, *, minutes: float) -> Plan:
    _write(music, _experiment_file(music, found, _MODELS))
    experiment = load_experiment(load_configuration(experiment=music.name)["parameters"])
    lacking = _lacking(experiment)
    cells = {cell.model: cell for cell in experiment.cells if cell.model not in lacking}
    expected = estimate(experiment, {music.name: found.tracks}, list(cells.values()))
    chosen = [cells[_MODELS[0]]]
    for cell in list(cells.values())[1:]:
        if expected.of([*chosen, cell]) <= 60 * minutes:
            chosen.append(cell)
    models = tuple(cell.model for cell in chosen)
    return Plan(models, expected.of(chosen), {model: expected.of([cell]) for model, cell in cells.items()}, lacking)


def _lacking(experiment: Experiment) -> dict[str, str]:
    """Return what is missing for each model that cannot be trained here."""
    lacking = {}
    for cell in experiment.cells:
        block = experiment.features[cell.feature]
        try:
            FEATURES[block.kind].require(block)
        except ConfigError as error:
            lacking[cell.model] = str(error)
    return lacking


def run(music: OwnMusic) -> None:
    """Run the experiment.

    Raises:
        RefreshError: If the run failed.
    """
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "train_all", "--experiment", music.name, "--yes"]
    _, code = run_command(command)
    if code:
        raise RefreshError(f"The training ended with code {code}: see above. Rerun the command to resume.")


def train(
    folder: str | PathLike[str],
    *,
    name: str | None = None,
    minutes: float = 10.0,
    tags: Literal["artists", "genres"] = "artists",
    merge: Mapping[str, str] | None = None,
    leave_out: Iterable[str] = (),
) -> pd.DataFrame:
    """Train classifiers on a folder of music and compare them: ``genre-pipeline train`` from Python.

    Args:
        folder: The folder.
        name: Name of the experiment; ``None`` makes one of the folder's.
        minutes: How long features and trainings may take.
        tags: What the files' own tags are read for: ``artists``, with genres from the sub-folders, or also ``genres``.
        merge: Genres to be counted as another one.
        leave_out: Genres to leave out.

    Returns:
        The leaderboard, see :func:`~genre_pipeline.evaluation.leaderboard.leaderboard`.

    Raises:
        DatasetError: If the folder holds no music, or a genre has too few artists (tracks).
        ConfigError: If the experiment's name is taken.
        RefreshError: If the run failed, or another process trains an experiment of that name.

    Example:
        >>> train("Music/by_genre", minutes=5)  # doctest: +SKIP
    """
    music = OwnMusic(Path(folder), name or name_of(Path(folder)), tags, merge or {}, frozenset(leave_out))
    with only_here(music):
        found = survey(music)
        if found.short:
            raise DatasetError(f"{found.describe_short()} Add music, or set leave_out or merge.")
        plan(music, found, minutes=minutes)
        run(music)
    board: pd.DataFrame = _catalog(load_configuration(experiment=music.name)).load("leaderboard")
    return board


def _path(name: str) -> Path:
    return PROJECT_ROOT / "conf" / "local" / "experiments" / f"{name}.yml"


def _check_free(music: OwnMusic) -> None:
    """Check that the experiment's name is free, or this folder's."""
    path = _path(music.name)
    known = set(load_configuration().experiments) - {music.name}
    if path.is_file():
        written = path.read_text(encoding="utf-8")
        known = known if written.startswith(_HEAD) else {music.name}
        folder = _literal(str(music.folder.resolve()))
        other = "" if music.name in known else _folder_in(written)
        # One that was moved keeps its experiment.
        if other not in {"", folder} and Path(other).is_dir():
            raise ConfigError(
                f"The experiment '{music.name}' is of {other}. Choose another name: --name {music.name}_2"
            )
    if music.name.startswith(_RESERVED):
        raise ConfigError(f"The experiment's name must not begin with {' or '.join(_RESERVED)}: choose another --name.")
    if music.name in known or (PROJECT_ROOT / "conf" / "base" / "experiments" / f"{music.name}.yml").is_file():
        raise ConfigError(
            f"There is an experiment '{music.name}' that this command did not write. Choose another "
            f"name: --name {music.name}_2"
        )


def _folder_in(written: str) -> str:
    """Return the folder in an experiment's file; nothing where it cannot be read."""
    try:
        (block,) = yaml.safe_load(written)["datasets"].values()
        return str(block["path"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError):
        return ""


@contextmanager
def _as_before(music: OwnMusic) -> Iterator[None]:
    """Leave the experiment's file as it was, whatever happens: it is written once all is known."""
    path = _path(music.name)
    before = path.read_bytes() if path.is_file() else None
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


def _experiment_file(music: OwnMusic, found: Survey, models: tuple[str, ...]) -> dict[str, Any]:
    genres = [genre for genre in found.n_units if genre not in music.leave_out]
    dataset = {"genres": genres} if music.leave_out else {}
    return {
        "experiment": {
            "title": music.folder.resolve().name,
            "protocols": [found.protocol],
            "models": list(models),
        },
        "protocols": {found.protocol: {"n_folds": found.n_folds}},
        "datasets": {music.name: dataset},
    }


def _write(music: OwnMusic, values: dict[str, Any]) -> None:
    dataset = {
        "kind": "folder",
        "path": str(music.folder.resolve()),
        # A folder that somebody names, with all that it leads to.
        "links_within": "/",
        "tags": music.tags,
        "merge": dict(music.merge),
        **values.get("datasets", {}).get(music.name, {}),
    }
    content = {
        **values,
        "experiment": {"datasets": [music.name], **values.get("experiment", {})},
        "datasets": {music.name: dataset},
    }
    _save(music, content)


def _save(music: OwnMusic, content: dict[str, Any]) -> None:
    with atomic_file(_path(music.name)) as temporary:
        text = yaml.safe_dump(_literal(content), sort_keys=False, allow_unicode=True)
        temporary.write_text(_HEAD + text, encoding="utf-8")


def _literal(value: Any) -> Any:
    """Keep the configuration from reading what a person's names hold as a reference: ``${HOME}``."""
    if isinstance(value, dict):
        return {key: _literal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_literal(each) for each in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _catalog(loader: ConfigLoader) -> Any:
    from kedro.io import DataCatalog

    return DataCatalog.from_config(loader["catalog"])

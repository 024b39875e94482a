"""Every command of the documentation does what it is there for, as it is written, on a tiny demo.

A shell reads each block of the Markdown files; what it would have started is run here, in one process. What cannot be
run here is listed with a reason, and its options and parameters are checked all the same.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project

from genre_pipeline import configuration
from genre_pipeline.cli import Choice, cli
from genre_pipeline.ops import own_music, refreshing
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.running import _check_choice
from kedro_sessions import copy_database, do_without_drawing, forget_sessions, settle, write_own_clip, write_own_music

PAGES = [
    *("README.md", "CONTRIBUTING.md", "conf/README.md", "data/README.md", "notebooks/README.md"),
    *sorted(str(path.relative_to(PROJECT_ROOT)) for path in (PROJECT_ROOT / "docs").rglob("*.md")),
]
# test_tour runs it from end to end.
PAGES.remove("docs/tour.md")
# What stands for something of the reader's; <id of a test track> is known when there is a split.
EXAMPLES = {
    "<model>": "svm",
    "<dataset.protocol.feature.model>": "demo.artist_kfold.log_mel_256.net1",
    "<dataset>": "demo",
    "<experiment>": "demo",
    "<folder that holds gtzan6/>": "real",
    "<folder>": "real",
    "<names>": "svm",
    "<your folder>": "data/01_raw/by_genre",
    "<id of a test track>": "A_TEST_TRACK",
}
# The same sign stands for names of several kinds.
NAMES = {
    "experiment.datasets=[<name>]": "experiment.datasets=[demo]",
    "experiment.models=[net1],experiment.features.net1=[<name>]": (
        "experiment.models=[net1],experiment.features.net1=[mfcc_20]"
    ),
    "robustness.interventions=[identity,<name>]": "robustness.interventions=[identity,gain_up_6]",
}
# Why a command of Kedro is only read, not run: its options, parameters, pipelines and environment are checked.
ONLY_READ = {
    r"datasets\.fma_small\.download=true": "it downloads 7.2 GiB",
    r"--experiment (gtzan6\w*|papers?_\w+|recipes|fine_tuning|encoders|lists)": "it needs the music, and hours",
    r"compute\.address": "it needs a cluster",
    r"--watch": "it never ends",
    r"--model champion": "it needs the registry, which these sessions do without",
    r"--web-runtime": "it needs a package of npm",
    r"mlflow|viz|serve": "it is a server",
}
# Programs that are not the project's, and what of the project is started otherwise.
NOT_OURS = {
    *("pip", "npm", "uv", "apt", "systemctl", "dask", "jupyter", "source", "python3"),
    *("base64", "curl", "docker", "mlflow", "openssl", "sh"),
}


@dataclass(frozen=True)
class Command:
    """A command as a shell would start it."""

    words: tuple[str, ...]
    experiment: str = ""

    def __str__(self) -> str:
        return " ".join(self.words)

    @property
    def only_read(self) -> bool:
        return any(re.search(pattern, str(self)) for pattern in ONLY_READ)


_SHELL = r"""
record() { printf '%s\0' "$GENRE_PIPELINE_EXPERIMENT" "$@"; printf '\n\0'; }
command_not_found_handle() { record "$@"; }
source() { record source "$@"; }
PATH=/nowhere
"""


def read_commands(page: str) -> list[Command]:
    """Have a shell read the blocks of a page, and the commands in its text."""
    text = (PROJECT_ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    # Two words alone mention a command: see below.
    begins = re.compile(r"(\w+=\S+ )*(kedro \S+|genre-pipeline \S+|make|python|source|apt|pip|uv) ")
    blocks += [span for span in spans if begins.match(span) and "..." not in span]
    script = "\n".join(blocks)
    for given, example in {**NAMES, **EXAMPLES}.items():
        script = script.replace(given, example)
    # Prompts of several machines; the folder that a program lies in.
    script = re.sub(r"^(head|each)\$ +", "", script, flags=re.MULTILINE)
    script = re.sub(r"(?<!\S)(?:[~.\w-]+/)+bin/(?=\w)", "", script).replace("# ", "\n# ")
    # What a command would print here is not known.
    script = re.sub(r"\$\([^()]*\)", "printed", script)
    done = subprocess.run(
        ["bash", "-c", _SHELL + script], capture_output=True, text=True, check=True, env={"HOME": "."}
    )
    assert not done.stderr, f"{page}: {done.stderr}"
    started = [each.removesuffix("\0").split("\0") for each in done.stdout.split("\n\0")[:-1]]
    return [Command(tuple(words), experiment) for experiment, *words in started]


COMMANDS = list(dict.fromkeys(command for page in PAGES for command in read_commands(page)))
# Those of both names of the project's commands.
KEDROS = [command for command in COMMANDS if command.words[0] in {"kedro", "genre-pipeline"}]
# What this machine compares, by experiment.
COMPARED = {
    "demo": {"protocols": ["artist_kfold"], "models": ["svm", "naive_bayes", "net1"], "exclude": []},
    "my_music": {"models": ["svm", "net1"]},
    "two": {"datasets": ["demo"], "models": ["svm", "net1"]},
    "gtzan": {"protocols": ["artist_kfold"], "models": ["svm"]},
}
TINY: dict[str, Any] = {
    "datasets": {
        # README names a track of the genre house.
        "demo": {"n_genres": 3, "n_artists_per_genre": 3, "n_clips_per_genre": 6, "clip_duration_s": 4.0},
        "gtzan": {"min_duration_s": 1.0},
    },
    "protocols": {"artist_kfold": {"n_folds": 3, "repeats": 1}},
    "models": {
        "net1": {
            "architecture": {"n_filters": 4, "n_parallel_filters": 2, "hidden": [4, 4]},
            "training": {"max_epochs": 1, "batch_size": 8},
        },
        "linear_probe": {"training": {"max_epochs": 1}},
    },
    "robustness": {"interventions": ["identity", "gain_up_6"]},
    "explain": {"n_steps": 2},
    # Nothing to register: see below.
    "registry": {"enabled": False},
}
# Genres and numbers of GTZAN by artists that are known and many.
GTZAN = {genre: range(0, 96, 12) for genre in ("blues", "country")}


def commands_of(program: str) -> Any:
    """Return the commands of ``kedro`` in the project's folder, or of ``genre-pipeline``."""
    return KedroCLI(PROJECT_ROOT) if program == "kedro" else cli


def invoke(words: tuple[str, ...]) -> Any:
    """Run a command; say yes to what it asks."""
    program, *arguments = words
    result = CliRunner().invoke(commands_of(program), arguments, input="y\n")
    forget_sessions()
    return result


def _run_in_this_process(command: list[str]) -> tuple[int, int]:
    """Run a part of ``kedro refresh`` that has a process of its own."""
    return 0, invoke(("kedro", *command[command.index("run") :])).exit_code


@pytest.fixture(scope="module")
def project(tmp_path_factory, database, _quiet_threads):
    """A folder in which the demo's experiment was run, with all the music that the pages speak of."""
    folder = tmp_path_factory.mktemp("project")
    data, conf = folder / "data", folder / "conf"
    copy_database(database, data)
    shutil.copytree(PROJECT_ROOT / "conf", conf, ignore=shutil.ignore_patterns("local"))
    (conf / "local" / "parameters").mkdir(parents=True)
    (conf / "local" / "parameters" / "tiny.yml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    (conf / "local" / "experiments").mkdir()
    for name, compared in COMPARED.items():
        (conf / "local" / "experiments" / f"{name}.yml").write_text(yaml.safe_dump({"experiment": compared}))
    shutil.copytree(write_own_music(data, n_tracks=8), data / "01_raw" / "by_genre")
    for genre, numbers in GTZAN.items():
        for number in numbers:
            write_own_clip(data / f"01_raw/gtzan/{genre}/{genre}.{number:05d}.wav", seed=hash((genre, number)) % 10_000)
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, data, folder)
        patch.setenv("HOME", str(folder))
        patch.setattr("genre_pipeline.settings.CONF_SOURCE", str(conf), raising=False)
        # Kedro-Viz writes its statistics into the project that it finds from here.
        patch.setattr("kedro.framework.session.session.find_kedro_project", lambda _: PROJECT_ROOT)
        for module in (refreshing, own_music):
            patch.setattr(module, "run_command", _run_in_this_process)
        # The tour's test times and trains the larger ones, too.
        patch.setattr(own_music, "_MODELS", ("naive_bayes", "svm"))
        for module in (configuration, own_music):
            patch.setattr(module, "PROJECT_ROOT", folder)
        # Most of the time of a session so small; other tests look at it.
        no_model = SimpleNamespace(model_id="", model_uri="")
        do_without_drawing(patch)
        patch.setattr("genre_pipeline.tracking.model.log_genre_model", lambda *_, **__: no_model)
        train = ("genre-pipeline", "train", EXAMPLES["<your folder>"], "--minutes", "0")
        for words in (("kedro", "run", "--experiment", "demo"), train):
            result = invoke(words)
            assert result.exit_code == 0, result.output
        tracks = pd.read_parquet(max((data / "02_intermediate/demo/tracks.parquet").rglob("*.parquet")))
        (data / "01_raw" / "embeddings").mkdir()
        for number, track in enumerate(tracks["track_id"]):
            np.save(data / "01_raw" / "embeddings" / f"{track}.npy", np.random.default_rng(number).random(768))
        yield data
    bootstrap_project(PROJECT_ROOT)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("command", [each for each in KEDROS if not each.only_read], ids=str)
def test_a_command_of_the_documentation_does_its_work(project, command, monkeypatch):
    if command.experiment:
        monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", command.experiment)
    splits = project / "03_primary/demo/artist_kfold"
    split = pd.read_parquet(max(splits.glob("split.parquet/*/split.parquet")))
    tested = split.query("repeat == 0 and split == 'test'")["track_id"].iloc[0]
    result = invoke(tuple(word.replace("A_TEST_TRACK", tested) for word in command.words))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", [each for each in KEDROS if each.only_read], ids=str)
def test_a_command_that_cannot_be_run_here_is_one(command):
    bootstrap_project(PROJECT_ROOT)
    program, name, *arguments = command.words
    context = commands_of(program).make_context(program, [name, *arguments])
    chosen = context.command.get_command(context, name)
    read = chosen.make_context(name, list(arguments), parent=context).params
    if name == "run":
        text = dict(zip(arguments[::2], arguments[1::2], strict=True)).get("--params", "")
        for pipeline in read["pipelines"]:
            _check_choice(Choice(read["env"], read["experiment"], text), pipeline)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in KEDROS], ids=str)
def test_what_other_programs_are_asked_for_is_there(command):
    program, *arguments = command.words
    if program == "make":
        rules = re.findall(r"^([\w-]+):", (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert arguments[0] in rules
    elif program == "python" and arguments[0] == "-m":
        assert arguments[1] == "genre_pipeline"
        context = KedroCLI(PROJECT_ROOT).make_context("kedro", arguments[2:3])
        chosen = context.command.get_command(context, arguments[2])
        assert chosen.make_context(arguments[2], arguments[3:], parent=context).params
    elif program == "python":
        text = (PROJECT_ROOT / arguments[0]).read_text(encoding="utf-8")
        assert all(f'"{option}"' in text for option in arguments if option.startswith("--"))
    else:
        assert program in NOT_OURS


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_mentioned_exists(page):
    text = (PROJECT_ROOT / page).read_text(encoding="utf-8")
    commands = KedroCLI(PROJECT_ROOT)
    context = commands.make_context("kedro", ["info"])
    for name in set(re.findall(r"`kedro ([a-z-]+)", text)):
        assert commands.get_command(context, name) is not None, name
    for name in set(re.findall(r"`genre-pipeline ([a-z][a-z-]*)", text)):
        assert cli.get_command(click.Context(cli), name) is not None, name

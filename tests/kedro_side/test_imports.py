"""What each command imports, which is most of its start-up: by name, because a clock says another thing each time."""

import subprocess
import sys

import pandas as pd
import pytest
from click import Context

from genre_pipeline import cli
from genre_pipeline.project import PROJECT_ROOT

# Needed to train, to draw and to track; some take more than a second each.
HEAVY = {
    *("torch", "sklearn", "scipy", "librosa", "soundfile", "matplotlib", "plotly"),
    *("mlflow", "kedro_mlflow", "kedro_viz", "sqlalchemy", "ibis", "IPython"),
}
# Needed to read configuration and results.
KEDRO = {"kedro", "omegaconf", "fsspec", "dynaconf"}
TABLES = {"pandas", "pyarrow", "numpy"}
# Kedro's command line and settings, which have plug-ins, and its catalog entries.
KEDROS_OWN = {"dynaconf", "kedro.framework.project", "kedro_datasets", "kedro_telemetry"}

LEADERBOARD = {
    "dataset": "demo",
    "subset": "",
    "protocol": "artist_kfold",
    "feature": "mfcc_20",
    "model": "svm",
    "leaky": False,
    "artists_unknown": 0.0,
    "statistic": "mean of 2 folds",
    "n_failed": 0,
    "track_accuracy_mean": 0.75,
    "track_accuracy_sd": 0.1,
    "track_accuracy_ci_low": 0.5,
    "track_accuracy_ci_high": 0.9,
    "track_balanced_accuracy_mean": 0.75,
    "track_macro_f1_mean": 0.7,
    "segment_accuracy_mean": 0.6,
    "since_previous": "unchanged",
    "chance_largest_class": 0.5,
    "n_genres": 2,
    "n_parameters": 10,
    "training_s": 1.0,
    "split_hash": "0123456789abcdef",
}


@pytest.fixture
def _leaderboard(tmp_path):
    """A leaderboard of the experiment ``demo``, and its copy where people look for it."""
    folder = tmp_path / "data" / "08_reporting" / "demo"
    for place in (folder, folder / "versions" / "leaderboard.csv" / "2026-01-01T00.00.00.000Z"):
        place.mkdir(parents=True)
        pd.DataFrame([LEADERBOARD]).to_csv(place / "leaderboard.csv", index=False)


def run(program, forbidden, cwd):
    """Run a program that ends with the names of the forbidden modules that it imported, and return what it printed."""
    code = (
        "import sys, atexit;"
        f"atexit.register(lambda: print('imported:', *sorted(set({sorted(forbidden)!r}) & sys.modules.keys())));"
        f"{program}"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.usefixtures("_leaderboard")
@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        ("--help", HEAVY | KEDRO | TABLES | {"pydantic", "genre_pipeline.running"}),
        *(
            (f"{name} --help", HEAVY | KEDRO | TABLES | {"pydantic"})
            for name in sorted({*cli.cli.commands, "predict", "tag"})
        ),
        ("run --help", HEAVY | TABLES),
        ("leaderboard", HEAVY | KEDROS_OWN | {"requests"}),
        ("stores list", HEAVY - {"torch", "scipy", "soundfile"} | KEDROS_OWN),
        ("stores verify", HEAVY - {"torch", "scipy", "soundfile"} | KEDROS_OWN),
        ("prune --keep 1 --dry-run", HEAVY - {"torch", "scipy", "soundfile"} | KEDROS_OWN),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_command_imports_only_what_it_needs(words, forbidden, tmp_path):
    """From a folder outside of the project."""
    program = f"from genre_pipeline.__main__ import main; main({words.split()!r})"
    assert run(program, forbidden, tmp_path).endswith("imported:\n")


def test_kedros_help_imports_of_ours_only_the_commands():
    """Of the plug-ins, kedro-mlflow imports MLflow, which imports pandas and SciPy."""
    program = "from kedro.framework.cli import main; sys.argv = ['kedro', '--help']; main()"
    forbidden = HEAVY - {"mlflow", "kedro_mlflow", "kedro_viz", "scipy"} | {
        *("genre_pipeline.experiment", "genre_pipeline.tracking", "genre_pipeline.ops.refresh.records"),
        *("genre_pipeline.audio", "genre_pipeline.catalog", "genre_pipeline.pipelines"),
    }
    shown = run(program, forbidden, PROJECT_ROOT)
    assert shown.endswith("imported:\n")
    for name in ("leaderboard", "refresh", "run", "viz", "mlflow", "catalog"):
        assert f"\n  {name} " in shown


def test_commands_of_other_modules_are_listed_with_the_help_that_they_have():
    context = Context(cli.cli)
    for name, (_, text) in cli._ELSEWHERE.items():
        assert cli.cli.get_command(context, name).get_short_help_str(limit=200).rstrip(".") == text.rstrip(".")


def test_the_program_and_kedro_have_the_same_commands(tmp_path):
    shown = run("from genre_pipeline.__main__ import main; main(['--help'])", set(), tmp_path)
    listed = [line.split()[0] for line in shown.partition("Commands:\n")[2].splitlines() if line[2:3].strip()]
    assert listed[: len(cli.cli.list_commands(Context(cli.cli)))] == cli.cli.list_commands(Context(cli.cli))

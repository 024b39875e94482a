"""What a person sees who types commands: one message where something is wrong, and no traceback."""

import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from kedro import KedroDeprecationWarning
from kedro.framework.startup import bootstrap_project

from genre_pipeline.cli import cli
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.session import InterruptibleSession
from kedro_sessions import write_own_music

OWN_MUSIC = "experiment.datasets=[my_music],experiment.models=[naive_bayes],experiment.protocols=[artist_kfold]"


@pytest.fixture
def kedro(monkeypatch):
    """A function that runs a command of the project, as if typed in its folder."""
    bootstrap_project(PROJECT_ROOT)
    # Not by going there: Kedro-Viz would write its statistics into the source tree.
    monkeypatch.setattr("kedro.framework.session.session.find_kedro_project", lambda _: PROJECT_ROOT)
    return lambda *arguments: CliRunner().invoke(cli, arguments)


def assert_one_message(result, *parts):
    assert result.exit_code == 1
    assert result.output.count("Error: ") == 1
    assert "Traceback" not in result.output
    message = result.output[result.output.index("Error: ") :]
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("parameters", "key", "value", "hint"),
    [
        ("experiment.models=[nett1]", "experiment.models", "'nett1'", "Did you mean 'net1'?"),
        ("experiment.datasets=[demmo]", "experiment.datasets", "'demmo'", "Did you mean 'demo'?"),
        ("experiment.protocols=[artist_fold]", "experiment.protocols", "'artist_fold'", "Did you mean 'artist_kfold'?"),
        ("experiment.features.net1=[mfc_20]", "experiment.features.net1", "'mfc_20'", "Did you mean 'mfcc_20'?"),
        ("models.net1.family=duplicated", "models.net1.family", "'duplicated'", "duplicated_convolutions"),
        ("features.mfcc_20.kind=mfc", "features.mfcc_20.kind", "'mfc'", "Did you mean 'mfcc'?"),
        ("datasets.demo.kind=demoo", "datasets.demo.kind", "'demoo'", "Did you mean 'demo'?"),
        ("protocols.artist_kfold.kind=k", "protocols.artist_kfold.kind", "'k'", "track_kfold"),
        ("models.net1.training.batch_size=0", "models.net1.training.batch_size", "got 0", "greater than or equal to 1"),
        (
            "models.net1.training.batchsize=5",
            "models.net1.training.batchsize",
            "is not a",
            "Did you mean 'batch_size'?",
        ),
        ("datasets.demo.n_genres=99", "datasets.demo.n_genres", "got 99", "less than or equal to"),
        ("evaluation.confidence=2", "evaluation.confidence", "got 2", "less than 1"),
        ("compute.n_workers=0", "compute.n_workers", "got 0", "greater than or equal to 1"),
        ("trainig.precision=float32", "'trainig'", "section", "Did you mean 'training'?"),
    ],
)
def test_a_bad_parameter_stops_the_run_before_any_node(kedro, tmp_path, parameters, key, value, hint):
    result = kedro("run", "--env", "test", "--params", parameters)
    assert_one_message(result, key, value, hint)
    assert not (tmp_path / "data" / "01_raw").exists()


def test_parameters_may_be_lists(kedro, empty_data):
    parameters = "experiment.datasets=[my_music,folder],experiment.models=[net1, nett2],experiment.seed=3"
    assert_one_message(kedro("run", "--env", "test", "--params", parameters), "'folder' is not defined")
    parameters = "experiment.models=[net1, nett2],experiment.seed=3"
    assert_one_message(kedro("run", "--env", "test", "--params", parameters), "'nett2'", "Did you mean 'net2'?")


def test_a_parameter_without_a_value_is_named(kedro):
    result = kedro("run", "--params", "experiment.seed=3,models")
    assert result.exit_code == 2
    assert "'models' must be a key and a value" in result.output


def test_a_bad_parameter_stops_every_pipeline(kedro):
    result = kedro("run", "--env", "test", "--pipelines", "predict", "--params", "experiment.models=[nett1]")
    assert_one_message(result, "experiment.models: 'nett1' is not defined")


@pytest.mark.parametrize("name", ["train_nett1", "trian_all"])
def test_a_misspelt_pipeline_is_named(kedro, empty_data, name):
    result = kedro("run", "--env", "test", "--pipelines", name)
    assert_one_message(result, f"There is no pipeline '{name}'", "Did you mean 'train_")


def test_a_missing_dataset_says_where_it_is_expected(kedro, empty_data):
    result = kedro("run", "--env", "test", "--params", OWN_MUSIC)
    assert_one_message(result, str(empty_data / "01_raw" / "my_music"))


def test_predicting_nothing_says_how_to_name_files(kedro, empty_data):
    result = kedro("run", "--env", "test", "--pipelines", "predict")
    assert_one_message(result, "predict.audio: is empty", "--params")


def test_predicting_with_an_untrained_cell_names_it(kedro, empty_data):
    result = kedro("run", "--env", "test", "--pipelines", "predict", "--params", "predict.audio=[a.wav]")
    assert_one_message(result, "There is no checkpoint at", str(empty_data / "06_models" / "test"))


def test_a_dead_server_is_one_message(kedro, dead_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    assert_one_message(kedro("run", "--env", "test"), dead_server, "does not answer")


def test_an_entry_that_is_not_there_is_one_message(kedro, empty_data):
    result = kedro("run", "--env", "test", "--pipelines", "split")
    assert_one_message(result, "demo.tracks")


def test_a_damaged_result_is_one_message(kedro, empty_data):
    write_own_music(empty_data)
    assert kedro("run", "--env", "test", "--pipelines", "ingest", "--params", OWN_MUSIC).exit_code == 0
    (table,) = (empty_data / "02_intermediate" / "my_music" / "tracks.parquet").glob("*/tracks.parquet")
    table.write_bytes(table.read_bytes()[:100])
    result = kedro("run", "--env", "test", "--pipelines", "split", "--params", OWN_MUSIC)
    assert_one_message(result, str(table))


def test_ctrl_c_has_the_exit_code_of_an_interruption(kedro, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(InterruptibleSession, "run", interrupt)
    result = kedro("run", "--env", "test")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("obeyed_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", [("run", "--env", "test"), ("stores", "list"), ("prune", "--keep", "1")])
def test_every_command_ends_on_a_signal_with_its_exit_code(kedro, monkeypatch, number, command):
    def end(*_arguments, **_options):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(InterruptibleSession, "run", end)
    monkeypatch.setattr("genre_pipeline.features.inventory.summarise_stores", end)
    monkeypatch.setattr("genre_pipeline.pruning.find_leftovers", end)
    result = kedro(*command)
    assert result.exit_code == 128 + number
    assert result.output.splitlines()[-1] == f"Ended by {number.name}."
    assert "Traceback" not in result.output


def test_faults_of_the_program_keep_their_traceback(kedro, monkeypatch):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(InterruptibleSession, "run", fail)
    assert isinstance(kedro("run", "--env", "test").exception, ZeroDivisionError)


def test_the_old_spelling_of_a_pipeline_is_accepted(kedro, empty_data):
    write_own_music(empty_data)
    with pytest.warns(KedroDeprecationWarning, match="--pipeline"):
        result = kedro("run", "--env", "test", "--pipeline", "train_all", "--params", OWN_MUSIC)
    assert result.exit_code == 0, result.output
    result = kedro("leaderboard", "--env", "test")
    assert result.exit_code == 0
    assert "naive_bayes" in result.output
    assert "report.html" in result.output
    assert "KEDRO_ENV=test make mlflow" in result.output


@pytest.mark.parametrize("arguments", [[], ["--env", "test"]])
def test_the_leaderboard_says_how_to_make_one(kedro, empty_data, arguments):
    result = kedro("leaderboard", *arguments)
    assert_one_message(
        result, " ".join(["There is no leaderboard yet. Make one: kedro run --pipelines train_all", *arguments])
    )


def test_comparing_without_runs_says_how_to_make_some(kedro, empty_data):
    assert_one_message(kedro("compare", "--env", "test"), "there is no run yet", "kedro run --pipelines train_all")
    (empty_data / "mlflow" / "mlflow.db").unlink()
    assert_one_message(kedro("compare", "--env", "test"), "there is no run yet")
    assert not (empty_data / "mlflow" / "mlflow.db").exists()


def test_a_run_is_compared_with_another(kedro):
    result = kedro("compare", "latest")
    assert result.exit_code == 2
    assert "Expected two runs or more, got one: 'latest'" in result.output


def test_comparing_with_a_dead_server_is_one_message(kedro, dead_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    assert_one_message(kedro("compare", "--env", "test"), dead_server, "does not answer")


def test_the_commands_describe_themselves(kedro):
    assert "Finished work is kept" in kedro("run", "--help").output
    assert "leaderboard" in kedro("--help").output


def test_the_program_itself_shows_one_message(tmp_path):
    """With everything that Kedro does around the command."""
    result = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env", "test", "--params", "experiment.models=[nett1]"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "GENRE_PIPELINE_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: experiment.models: 'nett1' is not defined.")

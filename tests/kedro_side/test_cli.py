"""What a person sees who types commands: one message where something is wrong, and no traceback."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project

from genre_pipeline.__main__ import main
from genre_pipeline.cli import cli
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.session import InterruptibleSession
from kedro_sessions import forget_sessions, write_own_music

OWN_MUSIC = "experiment.datasets=[my_music],experiment.models=[naive_bayes],protocols.artist_kfold.n_folds=3"


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
    result = kedro("run", "--experiment", "test", "--params", parameters)
    assert_one_message(result, key, value, hint)
    assert not (tmp_path / "data" / "01_raw").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--env", "lcal"], "There is no environment 'lcal'", "Did you mean 'local'?"),
        (["--env", "../local"], "There is no environment '../local'", "Did you mean 'local'?"),
        (["--env", "."], "There is no environment '.'", "Known: base, local."),
        (["--env", "paper_lgnet"], "'paper_lgnet' is an experiment, not an environment", "--experiment paper_lgnet"),
        (["--experiment", "tset"], "There is no experiment 'tset'", "Did you mean 'test'?"),
        (["--experiment", "../test"], "The experiment name '../test' cannot be used", "expected lower-case letters"),
        (["--params", "experiment.name=demo"], "--experiment test and experiment.name=demo are both given", "Give one"),
        (
            ["--params", "experiment.datasets=[my_music]"],
            "'my_music' is not part of the experiment 'test'",
            "--experiment",
        ),
        (["--params", "experiment.models=[bbnn]"], "'bbnn' is not part of the experiment 'test'", "my_test"),
        (["--namespaces", "demmo"], "--namespaces: the pipeline has no namespace 'demmo'", "Did you mean 'demo'?"),
        (["--nodes", "demo.ingst"], "--nodes: the pipeline has no node 'demo.ingst'", "Did you mean 'demo.ingest'?"),
        (["--from-nodes", "demo.ingst"], "--from-nodes: the pipeline has no node", "Did you mean 'demo.ingest'?"),
        (["--to-nodes", "demo.ingst"], "--to-nodes: the pipeline has no node", "Did you mean 'demo.ingest'?"),
        (["--tags", "train,ingst"], "--tags: the pipeline has no tag 'ingst'", "Did you mean 'ingest'?"),
        (["--from-inputs", "demo.trcks"], "--from-inputs: the pipeline has no dataset", "Did you mean 'demo.tracks'?"),
        (["--to-outputs", "leaderbord"], "--to-outputs: the pipeline has no dataset", "Did you mean 'leaderboard'?"),
        (["--load-versions", "leaderbord:2026"], "--load-versions: the pipeline has", "Did you mean 'leaderboard'?"),
        (["--load-versions", "leaderboard"], "Expected the form of 'load_versions'", "found leaderboard instead"),
        (["--pipeline", "a", "--pipelines", "b"], "'--pipeline' and '--pipelines'", "cannot be used together"),
        (["--tags", "ingest", "--nodes", "compare_settings"], "--nodes, --tags: they leave nothing to run", ""),
        (["--params", "experiment.title=${nope}"], "experiment.title: Interpolation key 'nope' not found", ""),
        (["--params", "experiment.title='${'"], "The parameters (environment 'local') cannot be read", "'${'"),
        (["--params", "datasets=[demo]"], "The parameters (environment 'local') cannot be read", "merge"),
        (["--params", "experiment=3"], "experiment: expected a mapping", "got 3"),
        (["--params", "predict.cell=demo.artist_kfold.log_mel_256.nett1"], "predict.cell: 'nett1'", "'net1'?"),
        (["--params", "explain.cell=demmo.artist_kfold.log_mel_256.net1"], "explain.cell: 'demmo'", "'demo'?"),
        (["--params", "robustness.cells=[*.nett1]"], "robustness.cells: '*.nett1' is no cell", "Known: "),
        (["--params", "few_labels.cells=[*.nett1]"], "few_labels.cells: '*.nett1' is no cell", "Known: "),
        (["--params", "unseen_genres.cells=[*.nett1]"], "unseen_genres.cells: '*.nett1' is no cell", "Known: "),
    ],
)
def test_what_is_not_there_is_named_before_any_work(kedro, empty_data, arguments, message, hint):
    assert_one_message(kedro("run", "--experiment", "test", *arguments), message, hint)
    assert not (empty_data / "01_raw").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runner", "SequentalRunner"], "There is no runner 'SequentalRunner'. Did you mean 'SequentialRunner'?"),
        (["--runner", "os.path"], "There is no runner 'os.path'. Known: "),
        (["--runner", "nowhere.Runner"], "There is no runner 'nowhere.Runner'."),
        (["--runner-params", "workers=2"], "SequentialRunner does not take them"),
        (["--runner", "ThreadRunner", "--runner-params", "max_workers=0"], "max_workers should be positive"),
        (["--runner-params", "max_workers=["], "'[' is never closed"),
        (["--params", "experiment.models=[naive_bayes"], "'[' is never closed"),
        (["--conf-source", "nowhere"], "Path 'nowhere' does not exist"),
        (["--config", str(PROJECT_ROOT / "README.md")], "Expected YAML with options of kedro run below 'run:'"),
        (["--config", str(PROJECT_ROOT / "conf" / "base" / "mlflow.yml")], "below 'run:' (KeyError: 'run')"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(kedro, arguments, message):
    result = kedro("run", "--experiment", "test", *arguments)
    assert result.exit_code == 2
    assert result.output.count("\nError: ") == 1
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "command",
    [
        *(
            ["leaderboard"],
            ["compare"],
            ["refresh", "--dry-run"],
            ["refresh"],
            ["stores", "list"],
            ["stores", "verify"],
        ),
        *(["stores", "prune"], ["airflow-dags"]),
        *(["catalog", "describe-datasets"], ["catalog", "list-patterns"], ["mlflow", "ui"]),
        *(["viz", "run"], ["viz"], ["ipython"], ["jupyter", "lab"]),
    ],
    ids=" ".join,
)
def test_every_command_names_an_environment_that_is_not_there(command, monkeypatch):
    # Kedro's own commands look for the project where they are started.
    monkeypatch.chdir(PROJECT_ROOT)
    result = CliRunner().invoke(KedroCLI(PROJECT_ROOT), [*command, "--env", "lcal"])
    assert result.exit_code == 1
    # Kedro may log something above it.
    assert result.output.strip().splitlines()[-1].startswith("Error: There is no environment 'lcal'")
    assert "Did you mean 'local'?" in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("variable", "name", "kind"),
    [("KEDRO_ENV", "lcal", "environment"), ("GENRE_PIPELINE_EXPERIMENT", "tset", "experiment")],
)
def test_the_environment_variables_are_checked_alike(monkeypatch, variable, name, kind):
    monkeypatch.setenv(variable, name)
    forget_sessions()
    for command in (["registry", "list"], ["leaderboard"], ["viz"]):
        result = CliRunner().invoke(KedroCLI(PROJECT_ROOT), command)
        assert f"Error: There is no {kind} '{name}'" in result.output
        assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    "command",
    [
        *(["run"], ["refresh"], ["leaderboard"], ["compare"], ["stores", "list"], ["stores", "verify"]),
        *(["stores", "prune"], ["airflow-dags"]),
    ],
    ids=" ".join,
)
def test_every_command_of_ours_names_an_experiment_that_is_not_there(kedro, command):
    assert_one_message(kedro(*command, "--experiment", "tset"), "There is no experiment 'tset'", "Did you mean 'test'?")


@pytest.mark.parametrize("command", ["refresh --dry-run", "airflow-dags"])
def test_parameters_are_read_alike_by_every_command(kedro, command):
    result = kedro(*command.split(), "--params", "experiment.models=[net1")
    assert result.exit_code == 2
    assert (
        "Invalid value for '--params': 'experiment.models=[net1' cannot be read: '[' is never closed" in result.output
    )
    assert_one_message(kedro(*command.split(), "--params", "experiment.models=[nett1]"), "Did you mean 'net1'?")


def test_a_file_of_options_may_hold_parameters(kedro, tmp_path):
    (tmp_path / "run.yml").write_text("run:\n  experiment: test\n  params: {experiment: {models: [nett1]}}\n")
    assert_one_message(kedro("run", "--config", str(tmp_path / "run.yml")), "experiment.models: 'nett1'")
    (tmp_path / "run.yml").write_text("run:\n  experimnt: test\n")
    result = kedro("run", "--config", str(tmp_path / "run.yml"))
    assert result.exit_code == 2
    assert "kedro run has no option 'experimnt'. Did you mean 'experiment'?" in result.output


def test_the_project_has_a_program_of_its_own(capsys, monkeypatch):
    """Which runs in any folder: this is an empty one."""
    monkeypatch.setenv("KEDRO_LOGGING_CONFIG", str(PROJECT_ROOT / "conf" / "logging.yml"))
    for arguments in (["--help"], ["run", "--help"], ["run", "--env", "lcal"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = capsys.readouterr()
        assert ended.value.code == (1 if "lcal" in arguments else 0)
        assert shown.out.startswith("Usage: genre-pipeline ") or "There is no environment 'lcal'" in shown.err


def test_parameters_may_be_lists(kedro, empty_data):
    parameters = "experiment.datasets=[demo,folder],experiment.models=[net1, nett2],experiment.seed=3"
    assert_one_message(kedro("run", "--experiment", "test", "--params", parameters), "'folder' is not defined")
    parameters = "experiment.models=[net1, nett2],experiment.seed=3"
    assert_one_message(kedro("run", "--experiment", "test", "--params", parameters), "'nett2'", "Did you mean 'net2'?")


def test_a_parameter_without_a_value_is_named(kedro):
    result = kedro("run", "--params", "experiment.seed=3,models")
    assert result.exit_code == 2
    assert "'models' must be a key and a value" in result.output


def test_a_bad_parameter_stops_every_pipeline(kedro):
    result = kedro("run", "--experiment", "test", "--pipelines", "predict", "--params", "experiment.models=[nett1]")
    assert_one_message(result, "experiment.models: 'nett1' is not defined")


@pytest.mark.parametrize("name", ["train_nett1", "trian_all"])
def test_a_misspelt_pipeline_is_named(kedro, empty_data, name):
    result = kedro("run", "--experiment", "test", "--pipelines", name)
    assert_one_message(result, f"There is no pipeline '{name}'", "Did you mean 'train_")


def test_a_missing_dataset_says_where_it_is_expected(kedro, empty_data):
    result = kedro("run", "--experiment", "own", "--params", OWN_MUSIC)
    assert_one_message(result, str(empty_data / "01_raw" / "my_music"))


def test_predicting_nothing_says_how_to_name_files(kedro, empty_data):
    result = kedro("run", "--experiment", "test", "--pipelines", "predict")
    assert_one_message(result, "predict.audio: is empty", "--params")


def test_predicting_with_an_untrained_cell_names_it(kedro, empty_data):
    params = "predict.audio=[a.wav],predict.cell=demo.artist_kfold.log_mel_256.net1"
    result = kedro("run", "--experiment", "test", "--pipelines", "predict", "--params", params)
    told = "log_mel_256.net1 is not trained, and no other cell is"
    assert_one_message(result, told, "kedro run --pipelines train_all")


def test_predicting_before_anything_was_compared_says_what_to_run(kedro, empty_data):
    result = kedro("run", "--experiment", "test", "--pipelines", "predict", "--params", "predict.audio=[a.wav]")
    told = "No cell leads, because nothing was compared, and no cell is trained"
    assert_one_message(result, told, "kedro run --pipelines train_all")


def test_a_dead_server_is_one_message(kedro, dead_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    assert_one_message(kedro("run", "--experiment", "test"), dead_server, "does not answer")


def test_an_entry_that_is_not_there_is_one_message(kedro, empty_data):
    result = kedro("run", "--experiment", "test", "--pipelines", "split")
    assert_one_message(result, "demo.tracks")


def test_a_damaged_result_is_one_message(kedro, empty_data):
    write_own_music(empty_data)
    assert kedro("run", "--experiment", "own", "--pipelines", "ingest", "--params", OWN_MUSIC).exit_code == 0
    (table,) = (empty_data / "02_intermediate" / "my_music" / "tracks.parquet").glob("*/tracks.parquet")
    table.write_bytes(table.read_bytes()[:100])
    result = kedro("run", "--experiment", "own", "--pipelines", "split", "--params", OWN_MUSIC)
    assert_one_message(result, str(table))


def test_ctrl_c_has_the_exit_code_of_an_interruption(kedro, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(InterruptibleSession, "run", interrupt)
    result = kedro("run", "--experiment", "test")
    assert result.exit_code == 130
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("obeyed_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", [("run", "--experiment", "test"), ("stores", "list"), ("prune", "--keep", "1")])
def test_every_command_ends_on_a_signal_with_its_exit_code(kedro, monkeypatch, number, command):
    def end(*_arguments, **_options):
        os.kill(os.getpid(), number)

    monkeypatch.setattr(InterruptibleSession, "run", end)
    monkeypatch.setattr("genre_pipeline.stores.inventory.summarise_stores", end)
    monkeypatch.setattr("genre_pipeline.ops.pruning.find_leftovers", end)
    result = kedro(*command)
    assert result.exit_code == 128 + number
    assert result.output.splitlines()[-1] == f"Ended by {number.name}."
    assert "Traceback" not in result.output


def test_a_full_disk_is_one_message(kedro, monkeypatch):
    def fail(*_arguments, **_options):
        # As of the standard output, which has no name.
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(InterruptibleSession, "run", fail)
    result = kedro("run", "--experiment", "test")
    assert result.exit_code == 1
    assert "the disk is full; free some space and run again." in result.output


def test_faults_of_the_program_keep_their_traceback(kedro, monkeypatch):
    def fail(*_arguments, **_options):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(InterruptibleSession, "run", fail)
    assert isinstance(kedro("run", "--experiment", "test").exception, ZeroDivisionError)


def test_a_single_pipeline_may_be_called_so(kedro, empty_data):
    write_own_music(empty_data)
    result = kedro("run", "--experiment", "own", "--pipeline", "train_all", "--params", OWN_MUSIC)
    assert result.exit_code == 0, result.output
    result = kedro("leaderboard", "--experiment", "own")
    assert result.exit_code == 0
    assert "naive_bayes" in result.output
    assert "report.html" in result.output
    assert "make viz EXPERIMENT=own" in result.output


@pytest.mark.parametrize("arguments", [[], ["--experiment", "test"]])
def test_the_leaderboard_says_how_to_make_one(kedro, empty_data, arguments):
    result = kedro("leaderboard", *arguments)
    assert_one_message(
        result, " ".join(["There is no leaderboard yet. Make one: kedro run --pipelines train_all", *arguments])
    )


def test_comparing_without_runs_says_how_to_make_some(kedro, empty_data):
    assert_one_message(
        kedro("compare", "--experiment", "test"), "there is no run yet", "kedro run --pipelines train_all"
    )
    (empty_data / "mlflow" / "mlflow.db").unlink()
    assert_one_message(kedro("compare", "--experiment", "test"), "there is no run yet")
    assert not (empty_data / "mlflow" / "mlflow.db").exists()


def test_a_run_is_compared_with_another(kedro):
    result = kedro("compare", "latest")
    assert result.exit_code == 2
    assert "Expected two runs or more, got one: 'latest'" in result.output


def test_comparing_with_a_dead_server_is_one_message(kedro, dead_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_server)
    assert_one_message(kedro("compare", "--experiment", "test"), dead_server, "does not answer")


def test_the_commands_describe_themselves(kedro):
    assert "Rerun an interrupted command to resume it" in kedro("run", "--help").output
    assert "leaderboard" in kedro("--help").output


def test_the_program_itself_shows_one_message(tmp_path):
    """With everything that Kedro does around the command."""
    result = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--experiment", "test", "--params", "experiment.models=[nett1]"],
        cwd=PROJECT_ROOT,
        env={**os.environ, "GENRE_PIPELINE_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: experiment.models: 'nett1' is not defined.")


def test_a_closed_standard_stream_takes_no_file(tmp_path):
    """What is printed must not end in the next file that is opened."""
    program = (
        "from genre_pipeline.__main__ import main\n"
        "try: main(['predict', 'missing.wav', '--model', 'missing.onnx'])\n"
        "except SystemExit as ended: code = ended.code\n"
        "import os\n"
        "with open('notes.txt', 'w') as file: os.write(1, b'lost'); file.write(str(code))\n"
    )
    subprocess.run(["bash", "-c", 'exec "$0" -c "$1" >&- 2>&- <&-', sys.executable, program], cwd=tmp_path, check=True)
    assert (tmp_path / "notes.txt").read_text() == "1"

"""``kedro run --pipelines train_all``, from synthesising the demo's audio to the report."""

import json
import logging
import math
import os
import re
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner

from genre_pipeline.cells import Cell
from genre_pipeline.cli import cli
from genre_pipeline.logs import file_metrics
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.runner import StaleRunner
from genre_pipeline.training import Checkpoint
from kedro_sessions import children, forget_sessions, new_session, sessions_of, settle

CELLS = [
    Cell.parse(name)
    for name in (
        "demo.artist_kfold.mfcc_20.naive_bayes",
        "demo.artist_kfold.mfcc_20.svm",
        "demo.artist_kfold.log_mel_256.net1",
        "demo.artist_kfold.log_mel_256.net2",
        "demo.artist_kfold.log_mel_100.crnn_gru_small",
        "demo.demo_official.mfcc_20.naive_bayes",
        "demo.demo_official.log_mel_256.net1",
    )
]
FEATURES = ("mfcc_20", "log_mel_256", "log_mel_100")
PROTOCOLS = ("artist_kfold", "demo_official")
N_REPEATS = 2
TABLES = ("leaderboard.csv", "leaderboard.parquet", "metrics.parquet", "protocol_gaps.csv", "ranks.csv")
FIGURES = (
    *("accuracy_comparison", "learning_curves", "confusion_matrices", "reliability_diagrams", "critical_difference"),
    *("risk_coverage", "quality_and_cost", "paper_comparison", "protocol_gap"),
)


def place(cell):
    return f"test/{cell.name.replace('.', '/')}"


def read_results(finished, cell):
    return json.loads(finished.newest(f"07_model_output/{place(cell)}/results.json").read_text())


def checkpoint_files(written):
    return {path: time for path, time in written.items() if path.startswith("06_models") and "repeat_" in path}


def by_cell(finished):
    """Return the cells' runs of the session."""
    runs = children(finished.client, finished.session)
    cells = [Cell(*(run.data.tags[name] for name in ("dataset", "protocol", "feature", "model"))) for run in runs]
    assert len(set(cells)) == len(cells)
    return dict(zip(cells, runs, strict=True))


class TestFiles:
    @pytest.mark.parametrize(
        "entry",
        [
            "02_intermediate/demo/tracks.parquet",
            "02_intermediate/demo/quality.json",
            *(f"03_primary/demo/{protocol}/split.parquet" for protocol in PROTOCOLS),
            *(f"03_primary/demo/{protocol}/audit.json" for protocol in PROTOCOLS),
            *(f"05_model_input/demo/{feature}/segments.parquet" for feature in FEATURES),
            *(f"04_feature/demo/{feature}/index.parquet" for feature in FEATURES),
            *(f"06_models/{place(cell)}/versions/checkpoints.json" for cell in CELLS),
            *(f"06_models/{place(cell)}/repeat_01.predictions.parquet" for cell in CELLS),
            *(f"07_model_output/{place(cell)}/predictions.parquet" for cell in CELLS),
            *(f"07_model_output/{place(cell)}/results.json" for cell in CELLS),
            *(
                f"08_reporting/test/{table}"
                for table in ("leaderboard.parquet", "metrics.parquet", "protocol_gaps.csv")
            ),
            *(f"08_reporting/test/{figure}.json" for figure in FIGURES),
            *(f"08_reporting/test/figures/{figure}.{form}" for figure in FIGURES for form in ("png", "svg")),
            "08_reporting/test/report.html",
            "08_reporting/test/report.md",
            *(f"08_reporting/test/{kind}_cards/demo.{form}" for kind in ("data", "model") for form in ("html", "md")),
            *(f"08_reporting/test/splits/demo.{protocol}.{form}" for protocol in PROTOCOLS for form in ("html", "md")),
        ],
    )
    def test_it_is_there(self, finished, entry):
        assert finished.newest(entry).stat().st_size > 0

    def test_nothing_unfinished_is_left(self, finished):
        # Locks stay: a lock whose file is removed can be held twice. So do the records that `kedro refresh` reads.
        assert [path for path in finished.written if "/." in path and not path.endswith((".lock", ".state.json"))] == []

    def test_the_checkpoints_are_whole(self, finished):
        for cell in CELLS:
            for repeat in range(N_REPEATS):
                card = Checkpoint.open(finished.data / "06_models" / place(cell) / f"repeat_{repeat:02d}").card
                assert (card.cell, card.repeat, card.seed) == (cell.name, repeat, repeat)


class TestDataset:
    def test_the_planted_faults_are_found(self, finished):
        report = json.loads(finished.newest("02_intermediate/demo/quality.json").read_text())
        faults = {}
        for fault in report["faults"]:
            faults.setdefault(fault["track_id"], set()).add(fault["fault"])
        # Half of the truncated file's four seconds is too short as well.
        assert sorted(map(sorted, faults.values())) == [["duplicate_file"], ["silent"], ["too_short", "truncated"]]
        assert report["n_clips"] == 3 * 6 + 3
        assert report["n_usable"] == 3 * 6
        assert report["n_inspected"] == report["n_clips"]

    def test_every_format_is_read(self, finished):
        tracks = pd.read_parquet(finished.newest("02_intermediate/demo/tracks.parquet"))
        assert set(tracks["format"]) == {"WAV", "FLAC", "OGG", "MP3"}

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_faulty_tracks_are_in_no_split_and_artists_on_one_side(self, finished, protocol):
        tracks = pd.read_parquet(finished.newest("02_intermediate/demo/tracks.parquet"))
        split = pd.read_parquet(finished.newest(f"03_primary/demo/{protocol}/split.parquet"))
        assert not set(split["track_id"]) & set(tracks.loc[tracks["quarantined"], "track_id"])
        assert set(split["repeat"]) == set(range(N_REPEATS))
        joined = split.merge(tracks[["track_id", "artist"]], on="track_id")
        assert joined.groupby(["repeat", "artist"])["split"].nunique().max() == 1
        audit = json.loads(finished.newest(f"03_primary/demo/{protocol}/audit.json").read_text())
        assert audit["leaky"] is False


class TestResults:
    @pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
    def test_metrics_are_shares_and_the_same_in_mlflow(self, finished, cell):
        result = read_results(finished, cell)
        run = by_cell(finished)[cell]
        shares = [row for row in result["summary"] if not row["metric"].endswith(("log_loss", "brier", "temperature"))]
        assert {(row["split"], row["unit"]) for row in shares} == {
            (split, unit) for split in ("validation", "test") for unit in ("segment", "track")
        }
        assert all(0.0 <= row["mean"] <= 1.0 for row in shares)
        for row in result["summary"]:
            name = f"{row['split']}_{row['unit']}_{row['metric']}"
            for statistic, suffix in (("mean", ""), ("sd", "_sd"), ("ci_low", "_ci_low"), ("ci_high", "_ci_high")):
                (logged,) = file_metrics({f"{name}{suffix}": 0.0})
                # How uncertain the scores of other splits are is in result.json only.
                is_logged = row[statistic] is not None and (not suffix or row["split"] == "test")
                assert (logged in run.data.metrics) == is_logged
                if is_logged:
                    assert math.isclose(run.data.metrics[logged], row[statistic], abs_tol=1e-12)

    def test_every_cell_has_the_same_metrics(self, finished):
        # A genre that a model never answers has no precision, and an estimator no number of parameters.
        may_be_missing = re.compile(
            r".*(_sd|_low|_high)|unit_\w+/test_precision/.*|usage/(n_parameters|gflop_per_clip)"
        )
        keys = [
            {name for name in run.data.metrics if not may_be_missing.fullmatch(name)}
            for run in by_cell(finished).values()
        ]
        assert all(each == keys[0] for each in keys)

    @pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
    def test_the_accuracy_follows_from_the_predictions(self, finished, cell):
        result = read_results(finished, cell)
        predictions = pd.read_parquet(finished.newest(f"07_model_output/{place(cell)}/predictions.parquet"))
        test = predictions[predictions["split"] == "test"]
        tracks = test.groupby(["repeat", "track_id", "genre"])[[f"p_{genre}" for genre in result["genres"]]].mean()
        guesses = np.array(result["genres"])[tracks.to_numpy().argmax(axis=1)]
        right = pd.Series(guesses == tracks.index.get_level_values("genre"), index=tracks.index)
        expected = right.groupby("repeat").mean().mean()
        (row,) = [
            row
            for row in result["summary"]
            if (row["split"], row["unit"], row["metric"]) == ("test", "track", "accuracy")
        ]
        assert math.isclose(row["mean"], expected)

    def test_the_leaderboard_has_a_row_a_cell(self, finished):
        table = pd.read_csv(finished.data / "08_reporting/test/leaderboard.csv")
        cells = {Cell(row.dataset, row.protocol, row.feature, row.model) for row in table.itertuples()}
        assert cells == set(CELLS)
        for row in table.itertuples():
            metrics = by_cell(finished)[Cell(row.dataset, row.protocol, row.feature, row.model)].data.metrics
            assert math.isclose(row.track_accuracy_mean, metrics["test_track_accuracy"], abs_tol=1e-6)

    def test_the_report_tells_of_every_cell_and_fault(self, finished):
        html = (finished.data / "08_reporting/test/report.html").read_text()
        markdown = (finished.data / "08_reporting/test/report.md").read_text()
        for cell in CELLS:
            assert cell.model in html
            assert cell.model in markdown
        for word in ("truncated", "silent", "duplicate_file", "The whole chain, tiny"):
            assert word in html
        assert "<script src=" not in html


class TestRuns:
    def test_a_session_a_cell_a_repeat(self, finished):
        session = finished.session
        assert session.info.status == "FINISHED"
        assert session.info.run_name == "test · train_all"
        assert session.data.tags["experiment"] == "test"
        assert {"data_cards", "report.html", "report.md", "splits"} <= {
            each.path for each in finished.client.list_artifacts(session.info.run_id)
        }
        runs = by_cell(finished)
        assert set(runs) == set(CELLS)
        for cell, run in runs.items():
            assert run.info.status == "FINISHED"
            repeats = children(finished.client, run)
            assert [each.data.tags["repeat"] for each in repeats] == ["0", "1"]
            assert [each.data.tags["seed"] for each in repeats] == ["0", "1"]
            assert {each.info.status for each in repeats} == {"FINISHED"}
            assert {each.data.tags["model"] for each in repeats} == {cell.model}
            assert all("test_track_accuracy" in each.data.metrics for each in repeats)
            assert {each.data.tags["compiled"] for each in repeats} == {"False"}

    def test_epochs_are_steps(self, finished):
        run = by_cell(finished)[Cell.parse("demo.artist_kfold.log_mel_256.net1")]
        for each in (run, *children(finished.client, run)):
            history = finished.client.get_metric_history(each.info.run_id, "train_loss")
            assert [point.step for point in history] == [1, 2, 3]

    def test_parameters_are_one_a_field(self, finished):
        run = by_cell(finished)[Cell.parse("demo.artist_kfold.log_mel_256.net1")]
        assert run.data.params["model.training.optimiser"] == "adadelta"
        assert run.data.params["feature.n_mels"] == "256"
        assert run.data.params["protocol.n_folds"] == "3"
        assert run.data.params["dataset.n_genres"] == "3"

    def test_the_session_has_the_parameters_that_describe_it(self, finished):
        """No node takes all of them."""
        params = finished.session.data.params
        assert params["experiment.name"] == "test"
        assert params["experiment.datasets"] == "['demo']"
        assert params["experiment.protocols"] == "['artist_kfold', 'demo_official']"
        assert params["experiment.seed"] == "0"
        assert {"experiment.title", "experiment.models", "experiment.exclude"} <= params.keys()
        assert params["training.selection"] == "best_validation"
        assert {"training.precision", "training.device"} <= params.keys()

    def test_figures_and_models_are_kept(self, finished):
        for run in by_cell(finished).values():
            files = {each.path for each in finished.client.list_artifacts(run.info.run_id)}
            assert {"confusion_track.png", "confusion_segment.png", "result.json"} <= files
            for repeat in children(finished.client, run):
                assert [each.path for each in finished.client.list_artifacts(repeat.info.run_id)] == [
                    "confusion_track.png"
                ]
        models = finished.client.search_logged_models([finished.session.info.experiment_id])
        assert {each.source_run_id for each in models} == {run.info.run_id for run in by_cell(finished).values()}

    def test_no_other_run_was_made(self, finished):
        runs = finished.client.search_runs([finished.session.info.experiment_id], max_results=1000)
        own = [run for run in runs if run.info.start_time <= finished.session.info.end_time]
        assert len(own) == 1 + len(CELLS) * (1 + N_REPEATS)
        assert mlflow.active_run() is None


class TestNothingNew:
    """The same command again, when every result is up to date."""

    @pytest.mark.parametrize(
        "choice",
        [
            {"pipeline_names": ["train_all"]},
            {},
            {"pipeline_names": ["train_net1"]},
            {"tags": ["split"]},
            {"node_names": ["write_report"]},
            {"runner": ThreadRunner},
            {"runner": ParallelRunner},
            {"runner": StaleRunner},
        ],
        ids=["train_all", "default", "train_net1", "split", "report", "threads", "processes", "refresh"],
    )
    def test_no_file_is_written_and_no_run_is_made(self, finished, monkeypatch, tmp_path, caplog, choice):
        settle(monkeypatch, finished.data, tmp_path)
        files, n_sessions = finished.files(), len(sessions_of(finished.client))
        made = {"runner": choice["runner"]()} if "runner" in choice else choice
        with caplog.at_level(logging.INFO), new_session() as session:
            assert session.run(**made) == {}
        forget_sessions()
        assert "Nothing new: every result is up to date." in caplog.text
        has_report = choice.keys() <= {"node_names", "runner"} or choice == {"pipeline_names": ["train_all"]}
        assert (f"Report: {finished.data}/08_reporting/test/report.html" in caplog.text) == has_report
        assert finished.files() == files
        assert len(sessions_of(finished.client)) == n_sessions

    def test_the_command_says_so_without_importing_torch(self, finished, monkeypatch, tmp_path):
        settle(monkeypatch, finished.data, tmp_path)
        code = (
            "import sys; from genre_pipeline.__main__ import main;"
            "main(['run', '--pipelines', 'train_all', '--experiment', 'test'], standalone_mode=False);"
            "sys.exit(sorted({'torch', 'sklearn', 'librosa', 'matplotlib', 'plotly'} & sys.modules.keys()) or None)"
        )
        environment = {**os.environ, "COLUMNS": "500"}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "Nothing new: every result is up to date." in done.stdout
        assert f"Report: {finished.data}/08_reporting/test/report.html" in done.stdout

    def test_only_what_is_lost_is_made_again(self, finished_copy, caplog):
        """Whichever nodes are asked for, and whichever runner runs them."""
        card = finished_copy / "08_reporting/test/data_cards/demo.html"
        for runner in (SequentialRunner, ThreadRunner):
            card.unlink()
            caplog.clear()
            with caplog.at_level(logging.DEBUG, logger="genre_pipeline"), new_session() as session:
                session.run(pipeline_names=["ingest", "split"], runner=runner())
            forget_sessions()
            assert card.is_file()
            assert "demo.write_card: demo.html is not there" in caplog.text
            assert {"demo.ingest: up to date", "demo.artist_kfold.split: up to date"} <= set(caplog.messages)


class TestAgain:
    """With ``--fresh`` every node runs. No work is done twice, and yet the session is complete."""

    def test_nothing_is_inspected_or_extracted(self, repeated):
        report = json.loads(repeated.newest("02_intermediate/demo/quality.json").read_text())
        assert report["n_inspected"] == 0
        for feature in FEATURES:
            report = json.loads(repeated.newest(f"04_feature/demo/{feature}_extraction.json").read_text())
            assert report["n_extracted"] == 0
            assert report["n_reused"] == 18

    def test_no_audio_feature_model_or_prediction_is_written(self, finished, repeated):
        for folder in ("01_raw", "04_feature/demo/mfcc_20/", "04_feature/demo/log_mel_256/"):
            files = {path: time for path, time in finished.written.items() if path.startswith(folder)}
            assert files
            assert {path: repeated.written[path] for path in files} == files
        files = checkpoint_files(finished.written)
        assert len(files) >= len(CELLS) * N_REPEATS * 5
        assert checkpoint_files(repeated.written) == files

    def test_every_checkpoint_is_reused(self, repeated):
        for cell, run in by_cell(repeated).items():
            assert run.data.tags["reused_repeats"] == str(N_REPEATS)
            pointers = json.loads(repeated.newest(f"06_models/{place(cell)}/versions/checkpoints.json").read_text())
            assert [each["reused"] for each in pointers] == [True] * N_REPEATS

    def test_the_session_is_complete_and_the_same(self, finished, repeated):
        assert repeated.session.info.run_id != finished.session.info.run_id
        first, second = by_cell(finished), by_cell(repeated)
        assert set(second) == set(CELLS)
        for cell in CELLS:
            assert second[cell].data.metrics == first[cell].data.metrics
            assert second[cell].data.params == first[cell].data.params
            curves = [
                [
                    [
                        (point.step, point.value)
                        for point in repeated.client.get_metric_history(each.info.run_id, "train_loss")
                    ]
                    for each in children(repeated.client, run)
                ]
                for run in (first[cell], second[cell])
            ]
            assert curves[0] == curves[1]

    def test_every_cell_is_compared_with_the_run_before(self, finished, repeated):
        first, second = by_cell(finished), by_cell(repeated)
        for cell in CELLS:
            path = repeated.data / f"07_model_output/{place(cell)}/change.json"
            old, new = (json.loads(each.read_text()) for each in sorted(path.glob("*/change.json")))
            assert (old["verdict"], old["before"]) == ("new", None)
            assert (new["verdict"], new["before"]) == ("unchanged", first[cell].info.run_id)
            assert (new["metrics"][0]["basis"], new["metrics"][0]["difference"]) == ("tracks", 0.0)
            # Whoever commits while the tests run changes the code.
            assert {each["kind"] for each in new["changes"]} <= {"code"}
            tags = second[cell].data.tags
            assert (tags["regression"], tags["since_previous"]) == ("False", "unchanged")
            assert tags["previous_run_id"] == first[cell].info.run_id
            assert len(tags["dataset_fingerprint"]) == 16

    def test_the_report_and_the_command_say_so(self, finished, repeated, monkeypatch):
        report = repeated.newest("08_reporting/test/report.md").read_text()
        assert "7 cells compared with the last finished run that evaluated them: 7 unchanged, 0 worse" in report
        monkeypatch.setenv("GENRE_PIPELINE_DATA", str(repeated.data))
        ids = [each.session.info.run_id for each in (finished, repeated)]
        for runs in ([], [each[:12] for each in ids]):
            result = CliRunner().invoke(cli, ["compare", *runs, "--experiment", "test"])
            assert result.exit_code == 0, result.output
            assert result.output.count("unchanged\n") == len(CELLS)
            assert "parameter " not in result.output
        arguments = ["compare", "--experiment", "test", "--cell", "*.net1"]
        content = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).stdout)
        assert [run["run_id"] for run in content["runs"]] == ids
        assert {each["cell"] for each in content["comparisons"][0]["cells"]} == {
            cell.name for cell in CELLS if cell.model == "net1"
        }
        assert "| net1 | log_mel_256 |" in CliRunner().invoke(cli, [*arguments, "--format", "markdown"]).output
        nothing = CliRunner().invoke(cli, ["compare", "--experiment", "test", "--cell", "*.net9"])
        assert "evaluated no cell like '*.net9'. It evaluated: demo.artist_kfold" in nothing.output

    def test_the_results_are_the_same(self, finished, repeated):
        for cell in CELLS:
            versions = sorted((repeated.data / f"07_model_output/{place(cell)}/results.json").glob("*/results.json"))
            assert len(versions) == 2
            assert versions[0].read_bytes() == versions[1].read_bytes()

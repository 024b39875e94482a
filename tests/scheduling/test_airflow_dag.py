"""The generated DAG file: what it runs in which order; with Airflow at hand, that Airflow reads it."""

import importlib.util
import runpy
import shlex

import pytest
from click.testing import CliRunner

from genre_pipeline.cells import Cell
from genre_pipeline.cli import cli
from genre_pipeline.ops.airflow_dag import Project, airflow_dag

CELLS = [
    Cell("demo", "folds", "mfcc", "svm"),
    Cell("demo", "folds", "mel", "net1"),
    Cell("mine", "folds", "mfcc", "svm"),
]


@pytest.fixture
def dag_file(tmp_path):
    """A function that generates the DAG file of the test environment and returns its path."""

    def generate(*arguments):
        output = tmp_path / "dags"
        result = CliRunner().invoke(cli, ["airflow-dags", "--experiment", "test", "--output", str(output), *arguments])
        assert result.exit_code == 0, result.output
        return output / "genre_pipeline_test.py"

    return generate


def values_of(text):
    """Read the values of a DAG file without importing Airflow."""
    names = {}
    begin = text.index("VALUES = ")
    exec(compile(text[begin : text.index("\nNAME = ")], "dag", "exec"), names)
    return names["VALUES"]


def make(tmp_path, **options):
    project = Project(tmp_path, tmp_path / "python", experiment="test")
    return airflow_dag(project, **{"experiment": "any", "cells": CELLS, "every": "daily", **options})


def test_stages_come_before_cells_and_cells_before_the_comparison(tmp_path):
    text = make(tmp_path)
    compile(text, "genre_pipeline_any.py", "exec")
    values = values_of(text)
    after = {name: task["after"] for name, task in values["tasks"].items()}
    assert after == {
        "demo.ingest": [],
        "demo.split": ["demo.ingest"],
        "demo.segment": ["demo.split"],
        "demo.features": ["demo.segment"],
        "mine.ingest": [],
        "mine.split": ["mine.ingest"],
        "mine.segment": ["mine.split"],
        "mine.features": ["mine.segment"],
        "demo.folds.mfcc.svm": ["demo.features"],
        "demo.folds.mel.net1": ["demo.features"],
        "mine.folds.mfcc.svm": ["mine.features"],
        "compare": ["demo.folds.mfcc.svm", "demo.folds.mel.net1", "mine.folds.mfcc.svm"],
    }
    assert list(values["looks"]) == ["demo", "mine"]
    assert (values["every"], values["n_tasks"], values["root"]) == ("daily", 1, str(tmp_path))


def test_a_single_task_at_a_time_runs_only_what_is_stale(tmp_path):
    one = values_of(make(tmp_path))["tasks"]["demo.folds.mel.net1"]["command"]
    several = values_of(make(tmp_path, n_tasks=4))["tasks"]["demo.folds.mel.net1"]["command"]
    expected = [str(tmp_path / "python"), "-m", "kedro", "run", "--namespaces", "demo.folds.mel.net1"]
    assert shlex.split(one) == [*expected, "--runner", "genre_pipeline.runner.StaleRunner", "--experiment", "test"]
    assert shlex.split(several) == [*expected, "--experiment", "test"]


def test_the_command_knows_the_environment_and_the_parameters(dag_file):
    values = values_of(dag_file("--params", "experiment.models=[svm,net1],compute.airflow_tasks=3").read_text())
    assert values["n_tasks"] == 3
    assert values["every"] is None
    assert {name.rpartition(".")[2] for name in values["tasks"] if name.count(".") == 3} == {"svm", "net1"}
    command = shlex.split(values["tasks"]["demo.ingest"]["command"])
    assert command[-4:] == ["--experiment", "test", "--params", "experiment.models=[svm,net1],compute.airflow_tasks=3"]


@pytest.mark.skipif(importlib.util.find_spec("airflow") is None, reason="Airflow is not installed here")
def test_airflow_reads_the_file(dag_file, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    read = runpy.run_path(str(dag_file("--every", "hourly")))
    assert len(read["tasks"]) == len(read["VALUES"]["tasks"])
    assert read["tasks"]["compare"].upstream_task_ids == {
        name.replace(".", "__") for name in read["VALUES"]["tasks"]["compare"]["after"]
    }

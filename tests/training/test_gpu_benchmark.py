"""The benchmark of the papers' tables runs, at a tiny size and on the processor; its times mean nothing here."""

import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import bench_training_gpu

    return bench_training_gpu


def table(output):
    rows = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    return rows[0], rows[1:]


def test_each_model_has_a_row_and_each_target_a_sum(benchmark, capsys):
    size = ["--share", "0.005", "--epochs", "2", "--steps", "1", "--device", "cpu", "--compile", "false"]
    benchmark.main(["--targets", "lgnet", "--models", "naive_bayes", "lstm", "--at-once", "1", "2", *size])
    head, rows = table(capsys.readouterr().out)
    assert head[-2:] == ["1 at once", "2 at once"]
    assert [row[:3] for row in rows[:2]] == [["lgnet", "naive_bayes", "18, 64"], ["lgnet", "lstm", "18, 64"]]
    assert rows[0][3:5] == ["-", "-"]
    assert all(float(number) > 0 for number in rows[1][3:])
    assert rows[2][1] == "all, target 30"
    assert all(re.fullmatch(r"\*\*[\d.]+\*\*", total) for total in rows[2][-2:])


def test_the_targets_are_the_papers_tables(benchmark):
    parameters = benchmark.read_parameters()
    rows = {
        (key, name): benchmark.Row.of(target, name, parameters, 1.0, {})
        for key, target in benchmark.TARGETS.items()
        for name in target.models
    }
    assert len(rows) == 10
    sizes = {key: (row.train.n, row.train.n_bins, row.train.n_frames, row.validation.n) for key, row in rows.items()}
    assert sizes["lgnet", "lgnet_4"] == (443 * 9, 128, 200, 197 * 9)
    assert sizes["bbnn", "bbnn"] == (800, 128, 646, 100)
    assert rows["lgnet", "lgnet_4"].model.training.max_epochs == 300
    assert rows["bbnn", "bbnn"].model.training.max_epochs == 100


def test_the_whole_is_trained_where_that_is_asked_for(benchmark, capsys):
    size = ["--share", "0.005", "--device", "cpu", "--whole"]
    benchmark.main(["--targets", "lgnet", "--models", "naive_bayes", "--at-once", "1", *size])
    _, rows = table(capsys.readouterr().out)
    assert float(rows[0][-1]) >= 0

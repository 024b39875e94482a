"""What is declared of the nodes, against what they do."""

import inspect

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from genre_pipeline.catalog import JSONDataset, OptionalJSONDataset
from genre_pipeline.datasets import TRACK_COLUMNS
from genre_pipeline.pipelines import dependencies
from genre_pipeline.pipelines.binding import bind
from genre_pipeline.pipelines.dependencies import describe_pipeline
from genre_pipeline.refreshing import Request, read_graph


@pytest.fixture(scope="module")
def graph():
    return read_graph(Request("test", "", {}))


def test_every_node_is_declared(graph):
    """One that is not would depend on all that it takes, notes for people included."""
    undeclared = {step.name for step in graph.steps if not step.versions}
    assert undeclared == set()


def test_steps_follow_those_whose_results_they_read(graph):
    made = set()
    for step in graph.steps:
        assert made >= set(step.inputs)
        made.update(step.outputs)


def test_parts_that_are_read_are_columns_of_the_track_table(graph):
    named = {part for step in graph.steps for part in step.inputs.get("demo.tracks") or ()}
    assert named
    assert named <= set(TRACK_COLUMNS)


@pytest.mark.parametrize("kind", ["split", "segment", "extract", "draw"])
def test_nodes_need_no_other_column_than_is_declared(music, graph, kind, tmp_path):
    """They are given the declared ones alone."""
    step = next(step for step in graph.steps if step.name.endswith(f".{kind}"))
    tracks = music.tracks[list(step.inputs["demo.tracks"])]
    if kind == "split":
        from genre_pipeline.splits import PROTOCOLS, split_tracks

        spec = PROTOCOLS["track_kfold"]
        result = split_tracks(tracks, spec, spec.block(kind="track_kfold", n_folds=3), dataset="tiny", official={})
        assert result.table["track_id"].nunique() == len(tracks)
    elif kind == "segment":
        from genre_pipeline.features.segments import segment_tracks
        from tiny_music import FEATURE

        assert set(segment_tracks(tracks, FEATURE).table["track_id"]) == set(tracks["track_id"])
    elif kind == "extract":
        from genre_pipeline.features import FEATURES
        from genre_pipeline.features.backends import Workers
        from genre_pipeline.features.extraction import extract
        from tiny_music import FEATURE

        options = {"root": music.root, "spec": FEATURES["log_mel"], "block": FEATURE, "workers": Workers("serial")}
        assert extract(tracks, folder=tmp_path / "store", **options).report["n_extracted"] == len(tracks)
    else:
        from genre_pipeline.features.pictures import example_figure

        assert len(example_figure(music.store, tracks, title="").data) == tracks["genre"].nunique()


def small_node(numbers, given, storage):
    return {"sum": sum(numbers.values()) + given["offset"]}


class TestUndeclared:
    """Nodes of which nothing is declared depend on all that they take, but not on where it is."""

    @pytest.fixture
    def pipeline(self):
        inputs = ["numbers", "params:model.given", "params:storage"]
        return Pipeline([Node(bind(small_node), inputs=inputs, outputs="total", name="add")])

    @pytest.fixture
    def entries(self, tmp_path):
        return {name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in ("numbers", "total")}

    def test_all_that_they_take_counts(self, pipeline, entries):
        parameters = {"model": {"given": {"offset": 1}, "other": 2}, "storage": {"folder": "here"}}
        (step,) = describe_pipeline(pipeline, DataCatalog(entries), parameters).steps
        assert step.parameters == {"model.given": {"offset": 1}}
        assert step.inputs == {"numbers": None}
        assert step.versions == {}

    def test_a_result_in_memory_is_left_out(self, pipeline, entries):
        catalog = DataCatalog({**entries, "total": MemoryDataset()})
        graph = describe_pipeline(pipeline, catalog, {"model": {"given": {}}, "storage": {}})
        assert graph.steps == ()
        assert set(graph.entries) == {"numbers"}

    def test_what_may_be_missing_is_a_file_that_is_read(self, pipeline, entries, tmp_path):
        catalog = DataCatalog({**entries, "numbers": OptionalJSONDataset(filepath=str(tmp_path / "numbers.json"))})
        (step,) = describe_pipeline(pipeline, catalog, {"model": {"given": {}}, "storage": {}}).steps
        assert step.inputs == {}
        assert step.files == (tmp_path / "numbers.json",)


def test_declarations_take_what_the_wiring_knows():
    """A node function's bound arguments are the declaration's."""
    for function, declared in dependencies._DEPENDENCES.items():
        known = {
            name
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        assert set(inspect.signature(declared).parameters) == known | {"parameters"}


def test_tables_of_the_same_rows_have_the_same_parts(tmp_path):
    """What is recorded in memory is what would be read from disk."""
    from genre_pipeline.refresh import content_parts

    table = pd.DataFrame(
        {"text": pd.array(["a", "b"], "string"), "number": [1, 2], "share": [0.5, None], "flag": [True, False]}
    )
    table.to_parquet(tmp_path / "table.parquet")
    assert content_parts(pd.read_parquet(tmp_path / "table.parquet")) == content_parts(table)

"""What a node depends on, read off its signature."""

import pickle
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Annotated

import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from genre_pipeline.blocks import Block
from genre_pipeline.catalog import JSONDataset, OptionalJSONDataset, PlaceDataset, SessionDataset
from genre_pipeline.datasets import TRACK_COLUMNS
from genre_pipeline.ops.refreshing import Request, read_graph
from genre_pipeline.pipelines.binding import arguments_of, bind, gather
from genre_pipeline.pipelines.description import describe_pipeline
from genre_pipeline.registry import Pretraining
from genre_pipeline.stages import LOGGED, SETTINGS, Reads, stage, stage_of
from kedro_sessions import forget_sessions, new_session


@pytest.fixture(scope="module")
def graph():
    return read_graph(Request(None, "test", "", {}))


def test_steps_follow_those_whose_results_they_read(graph):
    made = set()
    for step in graph.steps:
        assert made >= set(step.inputs)
        made.update(step.outputs)


def test_parts_that_are_read_are_columns_of_the_track_table(graph):
    named = {part for step in graph.steps for part in step.inputs.get("demo.tracks") or ()}
    assert named
    assert named <= set(TRACK_COLUMNS)


@pytest.fixture(scope="module")
def every_node():
    """The nodes of all pipelines, those of a search and of registered models included."""
    parameters = {"tuning": {"cell": "demo.artist_kfold.log_mel_256.net1"}}
    with new_session(**parameters) as session:
        session.load_context()
        found = [node for pipeline in pipelines.values() for node in pipeline.nodes]
    forget_sessions()
    return {node.name: node for node in found}


def test_every_node_is_a_stage(every_node):
    """What has no version could not be made anew when its code changes."""
    assert {name: stage_of(node.func).version for name, node in every_node.items()}


def test_what_the_session_lends_decides_nothing(every_node):
    """It is marked as such in the signature of every node that takes it."""
    lent = (
        "session",
        "session_log",
        "session_registry",
        "session_extractions",
        "feature_library",
        "report_folder",
        "trained_models",
        "session_pages",
    )
    kinds = ("history", "inspections", "split_records", "scratch", "training")
    takers = set()
    for node in every_node.values():
        for argument, entries in arguments_of(node).items():
            for entry in (entries,) if isinstance(entries, str) else entries:
                if entry in lent or entry.rpartition(".")[2] in kinds:
                    takers.add(entry.rpartition(".")[2])
                    assert argument in stage_of(node.func).logged
    assert takers == {*lent, *kinds}


def test_no_node_takes_a_whole_section_that_others_fill(every_node):
    """A dataset, model or feature that is not its own would make it stale."""
    whole = {"parameters", *(f"params:{section}" for section in ("experiment", "datasets", "models", "protocols"))}
    assert {name for name, node in every_node.items() if whole & set(node.inputs)} == set()


def log(numbers: dict, lent: Annotated[object, LOGGED], place: Annotated[Path, LOGGED]):
    return numbers, lent


@stage(version=1)
def weigh(offset: int, numbers: dict, others: Annotated[list[dict], Reads("n")], last: list[dict], *, factor: int):
    return [offset, numbers, others, last, factor]


def add(numbers: Annotated[dict, Reads("one", "two")], given: dict, place: Annotated[str, LOGGED]):
    return sum(numbers.values()) + given["offset"]


def shift(numbers: dict, *, offset: int):
    return sum(numbers.values()) + offset


def state(numbers: dict, *, pretraining: Pretraining):
    return pretraining


class Made(Block):
    size: int

    @property
    def code(self):
        return {"Made": 4}


def whole(numbers: dict, made: Made):
    return made


def settings(numbers: dict, made: Annotated[Made, SETTINGS]):
    return made


class TestSmallNode:
    @pytest.fixture
    def pipeline(self):
        inputs = ["numbers", "params:model.given", "params:place"]
        return Pipeline([Node(bind(stage(version=3)(add)), inputs=inputs, outputs="total", name="add")])

    @pytest.fixture
    def entries(self, tmp_path):
        return {name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in ("numbers", "total")}

    def test_what_its_signature_says_counts(self, pipeline, entries):
        parameters = {"model": {"given": {"offset": 1}, "other": 2}, "place": "here"}
        (step,) = describe_pipeline(pipeline, DataCatalog(entries), parameters).steps
        assert step.versions == {"add": 3}
        assert step.parameters == {"model.given": {"offset": 1}}
        assert step.inputs == {"numbers": ("one", "two")}

    def test_what_the_wiring_binds_counts(self, entries):
        node = Node(bind(stage(version=1)(shift), offset=2), inputs="numbers", outputs="total", name="shift")
        (step,) = describe_pipeline(Pipeline([node]), DataCatalog(entries), {}).steps
        assert step.parameters == {"offset": 2}

    def test_what_is_stated_of_a_pretrained_network_counts_where_it_is_stated(self, entries):
        stated = Pretraining(licence="MIT", trained_on="music", overlap="None.")
        node = Node(bind(stage(version=1)(state), pretraining=stated), inputs="numbers", outputs="total", name="state")
        (step,) = describe_pipeline(Pipeline([node]), DataCatalog(entries), {}).steps
        assert step.parameters == {"pretraining": ["MIT", "music", "None.", "feature"]}

    @pytest.mark.parametrize(("function", "versions"), [(whole, {"Made": 4}), (settings, {})])
    def test_code_that_a_block_chooses_counts_where_it_is_run(self, entries, function, versions):
        node = Node(stage(version=1)(function), inputs=["numbers", "params:made"], outputs="total", name="made")
        (step,) = describe_pipeline(Pipeline([node]), DataCatalog(entries), {"made": {"size": 1}}).steps
        assert step.versions == {function.__name__: 1, **versions}
        assert step.parameters == {"made": {"size": 1}}

    def test_a_result_in_memory_is_left_out(self, pipeline, entries):
        catalog = DataCatalog({**entries, "total": MemoryDataset()})
        graph = describe_pipeline(pipeline, catalog, {"model": {"given": {}}, "place": ""})
        assert graph.steps == ()
        assert set(graph.entries) == {"numbers"}

    def test_what_the_session_lends_and_takes_counts_neither_way(self, entries, tmp_path):
        lent = {
            "lent": SessionDataset(),
            "place": PlaceDataset(filepath=str(tmp_path / "place")),
            "log": SessionDataset(),
        }
        node = Node(stage(version=1)(log), inputs=["numbers", "lent", "place"], outputs=["total", "log"], name="log")
        (step,) = describe_pipeline(Pipeline([node]), DataCatalog({**entries, **lent}), {}).steps
        assert (step.inputs, step.parameters, step.outputs) == ({"numbers": None}, {}, ("total",))

    def test_each_input_of_an_argument_that_takes_several_counts(self, entries, tmp_path):
        more = {name: JSONDataset(filepath=str(tmp_path / f"{name}.json")) for name in ("a", "b", "c")}
        arguments = {"offset": "params:offset", "numbers": "numbers", "others": ["a", "b"], "last": ["c"]}
        function, names = gather(bind(weigh, factor=2), arguments)
        node = Node(function, inputs=names, outputs="total", name="weigh")
        (step,) = describe_pipeline(Pipeline([node]), DataCatalog({**entries, **more}), {"offset": 5}).steps
        assert step.inputs == {"numbers": None, "a": ("n",), "b": ("n",), "c": None}
        assert step.parameters == {"offset": 5, "factor": 2}
        inputs = {"params:offset": 5, "numbers": 1, "a": {"n": 2, "m": 3}, "b": {"n": 4}, "c": 6}
        # As a runner of processes sends it.
        sent = pickle.loads(ForkingPickler.dumps(node))
        assert sent.run(inputs) == {"total": [5, 1, [{"n": 2}, {"n": 4}], [6], 2]}
        assert describe_pipeline(Pipeline([sent]), DataCatalog({**entries, **more}), {"offset": 5}).steps == (step,)

    def test_what_may_be_missing_is_a_file_that_is_read(self, pipeline, entries, tmp_path):
        catalog = DataCatalog({**entries, "numbers": OptionalJSONDataset(filepath=str(tmp_path / "numbers.json"))})
        (step,) = describe_pipeline(pipeline, catalog, {"model": {"given": {}}, "place": ""}).steps
        assert step.inputs == {}
        assert step.files == (tmp_path / "numbers.json",)

    def test_a_function_without_a_version_is_refused(self, entries):
        pipeline = Pipeline([Node(lambda numbers: numbers, inputs="numbers", outputs="total", name="plain")])
        with pytest.raises(TypeError, match=r"lambda.* has no version: declare it with @stage\(version=1\)"):
            describe_pipeline(pipeline, DataCatalog(entries), {})


def test_tables_of_the_same_rows_have_the_same_parts(tmp_path):
    """What is recorded in memory is what would be read from disk."""
    from genre_pipeline.ops.refresh.content import content_parts

    table = pd.DataFrame(
        {"text": pd.array(["a", "b"], "string"), "number": [1, 2], "share": [0.5, None], "flag": [True, False]}
    )
    table.to_parquet(tmp_path / "table.parquet")
    assert content_parts(pd.read_parquet(tmp_path / "table.parquet")) == content_parts(table)

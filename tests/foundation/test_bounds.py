"""Every number that a parameter can be has finite bounds on both sides, and neither infinity nor NaN."""

import importlib
import math
import pkgutil
import types
import typing

import pytest
from pydantic import Field, ValidationError

import genre_pipeline
from genre_pipeline.blocks import Block
from genre_pipeline.errors import ConfigError
from genre_pipeline.experiment import parse_feature
from genre_pipeline.ops.refresh.graph import Step
from genre_pipeline.ops.refresh.records import FileStamp, Record
from genre_pipeline.stores.store import StoreHeader
from genre_pipeline.training.checkpoints import CheckpointCard
from genre_pipeline.tuning.space import FloatRange, IntegerRange

# What the project itself writes beside its results, and nobody types.
WRITTEN_BY_US = {CheckpointCard, FileStamp, Record, Step, StoreHeader}
# Both ends are checked by the field that is searched: see tests/tuning.
CHECKED_ELSEWHERE = {FloatRange, IntegerRange}


def _blocks(base=Block):
    for block in base.__subclasses__():
        yield block
        yield from _blocks(block)


def _numbers(annotation, constraints, place):
    """Yield each number that a field can hold: its place, and all constraints on it."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        yield from _numbers(inner, [*constraints, *more], place)
    elif origin in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _numbers(one, constraints, place)
    elif origin in (list, tuple, set, frozenset, dict):
        for one in typing.get_args(annotation):
            yield from _numbers(one, [], f"{place}[]")
    elif annotation in (int, float):
        yield place, constraints


def _bounds(constraints):
    """Return the lower and the upper bound; none where there is none."""
    found = {}
    for each in constraints:
        for one in (each, *getattr(each, "metadata", ())):
            found.update(
                {name: value for name in ("ge", "gt", "le", "lt") if (value := getattr(one, name, None)) is not None}
            )
    return found.get("ge", found.get("gt")), found.get("le", found.get("lt"))


def _unbounded(block):
    return [
        f"{block.__name__}.{place}"
        for name, field in block.model_fields.items()
        for place, constraints in _numbers(field.annotation, field.metadata, name)
        if not all(bound is not None and math.isfinite(bound) for bound in _bounds(constraints))
    ]


@pytest.fixture(scope="module")
def blocks():
    for module in pkgutil.walk_packages(genre_pipeline.__path__, f"{genre_pipeline.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return sorted(
        {each for each in _blocks() if each.__module__.startswith("genre_pipeline.")}
        - WRITTEN_BY_US
        - CHECKED_ELSEWHERE,
        key=lambda block: block.__qualname__,
    )


def test_every_number_has_two_bounds(blocks):
    assert len(blocks) > 40
    assert [place for block in blocks for place in _unbounded(block)] == []


def test_a_field_without_bounds_is_found_wherever_it_hides():
    class Nested(Block):
        plain: int
        optional: float | None = None
        listed: dict[str, tuple[int, ...]]
        bounded: typing.Annotated[int, Field(ge=0, le=1)]

    assert _unbounded(Nested) == ["Nested.plain", "Nested.optional", "Nested.listed[][]"]


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_no_block_takes_what_is_not_finite(blocks, number):
    for block in blocks:
        for name, field in block.model_fields.items():
            if not list(_numbers(field.annotation, field.metadata, name)):
                continue
            with pytest.raises(ValidationError) as caught:
                block.model_validate({name: number})
            assert any(fault["loc"][:1] == (name,) for fault in caught.value.errors()), f"{block.__name__}.{name}"


LOG_MEL = {
    "kind": "log_mel",
    "sample_rate": 22050,
    "n_fft": 2048,
    "hop_length": 512,
    "n_mels": 128,
    "segment": {"n_frames": 128, "hop_frames": 128},
}
CQT = {
    "kind": "cqt",
    "sample_rate": 22050,
    "hop_length": 512,
    "n_octaves": 7,
    "bins_per_octave": 12,
    "segment": {"n_frames": 128, "hop_frames": 128},
}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**LOG_MEL, "n_fft": 1e12}, r"features\.x\.n_fft: got 1000000000000\.0\. .*less than or equal to 131072"),
        ({**LOG_MEL, "n_mels": 100_000_000}, r"features\.x\.n_mels: got 100000000\. .*less than or equal to 8192"),
        ({**LOG_MEL, "n_mels": 1e30}, r"features\.x\.n_mels"),
        ({**LOG_MEL, "n_mels": 8192, "n_fft": 131072}, r"n_mels=8192 with n_fft=131072: a bank of .* takes 21\.5 GB"),
        ({**LOG_MEL, "n_fft": 131072, "hop_length": 1}, r"transforms each sample 131,072 times; expected at most 1024"),
        (
            {**LOG_MEL, "segment": {"n_frames": 9_999_999, "hop_frames": 9, "pad_frames": 9_999_999}},
            r"232,200 s of silence",
        ),
        ({**LOG_MEL, "power": math.inf}, r"features\.x\.power: got inf"),
        (
            {**CQT, "filter_scale": 100, "f_min_hz": 1, "n_octaves": 1, "bins_per_octave": 1200},
            r"a bank of 1,200 filters",
        ),
    ],
)
def test_a_feature_that_costs_too_much_is_named_with_its_parameters(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_feature("x", values)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_fft": 2**17, "hop_length": 512, "n_mels": 128},
        {"n_mels": 512, "n_fft": 1024},
        {"n_mels": 1024, "n_fft": 16384},
        {"hop_length": 2, "n_fft": 2048},
        {"sample_rate": 192_000, "n_fft": 2**16, "n_mels": 256},
    ],
)
def test_what_somebody_may_want_is_taken(changes):
    assert parse_feature("x", {**LOG_MEL, **changes}).kind == "log_mel"

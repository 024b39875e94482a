"""Stages: what is declared is what arrives."""

import pickle
from functools import partial
from typing import Annotated, Any, get_type_hints

import pandas as pd
import pytest

from genre_pipeline.blocks import Block
from genre_pipeline.errors import ConfigError
from genre_pipeline.stages import LOGGED, SETTINGS, Reads, stage, stage_of

TRACKS = pd.DataFrame({"track_id": ["a", "b"], "genre": ["jazz", "rock"], "artist": ["A", "B"]})


class Fade(Block):
    fade_s: float


@stage(version=1)
def listen(waveform: Any) -> Any:
    return waveform


@stage(version=4, uses=(listen,))
def count(
    tracks: Annotated[pd.DataFrame, Reads("track_id", "genre")],
    audit: Annotated[dict[str, Any], Reads("unit")],
    fade: Fade,
    place: Annotated[str, LOGGED],
    *more: Annotated[dict[str, Any], Reads("n")],
    name: str,
) -> Any:
    return list(tracks), audit, fade, place, more, name


def test_it_is_handed_what_it_declares_and_no_more():
    found = count(
        TRACKS, {"unit": "track", "leaky": True}, Fade(fade_s=1.0), "here", {"n": 1, "m": 2}, {"m": 3}, name="x"
    )
    assert found == (["track_id", "genre"], {"unit": "track"}, Fade(fade_s=1.0), "here", ({"n": 1}, {}), "x")


def test_several_tables_are_each_handed_as_declared():
    @stage(version=1)
    def genres(tables: Annotated[list[pd.DataFrame], Reads("genre")]) -> Any:
        return [list(table) for table in tables]

    assert genres([TRACKS, TRACKS]) == [["genre"], ["genre"]]


def test_what_nobody_lends_is_the_default():
    @stage(version=1)
    def log(text: str, write: Annotated[Any, LOGGED] = print, note: Annotated[Any, LOGGED] = None) -> Any:
        return text, write, note

    assert log("a", None, None) == ("a", print, None)
    assert log("a", str, 1) == ("a", str, 1)


def test_the_facts_of_a_result_are_those_that_decide():
    declared = stage_of(count)
    parameters = [("fade", "models.fade", Fade(fade_s=1.0)), ("place", "place", "here"), ("name", "name", "x")]
    assert declared.facts(parameters) == ({"count": 4, "listen": 1}, {"models.fade": {"fade_s": 1.0}, "name": "x"})


def test_an_undeclared_column_is_an_error():
    @stage(version=1)
    def artists(tracks: Annotated[pd.DataFrame, Reads("genre")]) -> Any:
        return tracks["artist"]

    with pytest.raises(KeyError, match="artist"):
        artists(TRACKS)


@pytest.mark.parametrize("read", [lambda report: report["artist"], lambda report: report.get("artist", "unknown")])
def test_an_undeclared_key_is_an_error(read):
    @stage(version=1)
    def artist(report: Annotated[dict[str, Any], Reads("genre", "title")]) -> Any:
        return report.get("title"), read(report)

    with pytest.raises(KeyError, match="artist"):
        artist({"genre": "jazz", "artist": "A"})


def test_what_is_declared_can_be_handed_to_another_process():
    part = Reads("genre", "title").of({"genre": "jazz", "artist": "A"})
    assert pickle.loads(pickle.dumps(part)) == part == {"genre": "jazz"}


def test_a_declared_column_that_is_not_there_is_an_error():
    with pytest.raises(KeyError, match="genre"):
        count(TRACKS.drop(columns="genre"), {}, Fade(fade_s=1.0), "", name="")


def test_what_it_is_given_stays_whole():
    audit = {"unit": "track", "leaky": True}
    count(TRACKS, audit, Fade(fade_s=1.0), "", name="")
    assert audit == {"unit": "track", "leaky": True}
    assert list(TRACKS) == ["track_id", "genre", "artist"]


def test_a_mapping_becomes_the_block_that_is_declared():
    assert count(TRACKS, {}, {"fade_s": 2}, "", name="")[2] == Fade(fade_s=2.0)
    with pytest.raises(ConfigError, match="fade.fade: is not a parameter"):
        count(TRACKS, {}, {"fade": 2}, "", name="")


def test_its_declaration_can_be_read():
    declared = stage_of(partial(count, name="x"))
    assert declared.versions == {"count": 4, "listen": 1}
    assert declared.reads["tracks"].parts == ("track_id", "genre")
    assert declared.blocks == {"fade": Fade}
    assert declared.logged == {"place"}


def test_a_block_of_which_only_the_parameters_count_is_a_block_all_the_same():
    @stage(version=1)
    def cut(fade: Annotated[Fade, SETTINGS]) -> Any:
        return fade

    assert cut({"fade_s": 2}) == Fade(fade_s=2.0)
    assert stage_of(cut).settings == {"fade"}


def test_its_hints_say_what_kedro_hands_over():
    """Kedro makes a parameter the class of its hint, and of a block's base class it would lose what the kind adds."""
    assert get_type_hints(count) == {
        "tracks": pd.DataFrame,
        "audit": dict[str, Any],
        "fade": dict[str, Any],
        "place": str,
        "more": dict[str, Any],
        "name": str,
        "return": Any,
    }


def test_it_can_be_sent_to_another_process():
    assert pickle.loads(pickle.dumps(partial(count, name="x"))).func is count


def test_a_class_can_have_a_version():
    @stage(version=2)
    class Pieces:
        pass

    assert isinstance(Pieces(), Pieces)
    assert stage_of(Pieces).versions == {"Pieces": 2}


def test_a_function_that_is_none_says_so():
    with pytest.raises(TypeError, match="has no version"):
        stage_of(print)

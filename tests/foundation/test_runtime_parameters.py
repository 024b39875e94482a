"""``--params``: every text is read as it is meant, or refused with one message."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from genre_pipeline.errors import ConfigError
from genre_pipeline.runtime_parameters import quote, read_parameters


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[*.net1]", ["*.net1"]),
        ("[*.random_track.*, *.net1]", ["*.random_track.*", "*.net1"]),
        ('"/mnt/Rock, Pop"', "/mnt/Rock, Pop"),
        ("'/mnt/Rock, Pop'", "/mnt/Rock, Pop"),
        ("'Rock ''n'' Roll'", "Rock 'n' Roll"),
        (r'"a \"b\" \\ \u00e9"', 'a "b" \\ é'),
        ('["/m/Song [Live.wav"]', ["/m/Song [Live.wav"]),
        ('["/m/a].wav","/m/b.wav"]', ["/m/a].wav", "/m/b.wav"]),
        ("['a=b', c]", ["a=b", "c"]),
        ("/m/Song [Live].wav", "/m/Song [Live].wav"),
        ("/m/Rock #1.wav", "/m/Rock #1.wav"),
        ("#1", "#1"),
        ("Rock: a study", "Rock: a study"),
        ("it's", "it's"),
        ("x=y", "x=y"),
        ("[[1, 2], []]", [[1, 2], []]),
        ("{kind: float, low: 1e-3, of: [a, {b: null}]}", {"kind": "float", "low": 0.001, "of": ["a", {"b": None}]}),
        ("{\"a b\": 1, 'c':[d]}", {"a b": 1, "c": ["d"]}),
        ("{}", {}),
        ("[a,]", ["a"]),
        ("流行", "流行"),
        ("\\", "\\"),
        ("2001-01-01", "2001-01-01"),
        ("${globals:experiment}", "${globals:experiment}"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_value_is_read_as_it_is_meant(text, value):
    assert read_parameters(f"a.b={text}, c=1") == {"a": {"b": value}, "c": 1}


@pytest.mark.parametrize(
    "text",
    ["1", "-2", "1e-3", "0.5", ".inf", "1_000", "0x10", "true", "No", "on", "null", "~", "", "a b", "a-b", "/a/b"],
)
def test_plain_values_are_what_kedro_reads(text):
    assert read_parameters(f"a={text}") == OmegaConf.to_container(OmegaConf.from_dotlist([f"a={text}"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "'a' must be a key and a value with '=' between them"),
        ("a=1,b", "'b' must be a key and a value"),
        ("=1", "'=1' has an empty key"),
        ("a..b=1", "'a..b=1' has an empty key"),
        ("a=1,a=2", "'a' is given twice"),
        ("a.b=1,a=2", "'a' is given twice"),
        ("a=1,a.b=2", "'a' cannot be a value and a section"),
        ("a={b: 1, b: 2}", "'b' is given twice"),
        ("experiment.models=[naive_bayes", "'experiment.models=[naive_bayes' cannot be read: '[' is never closed"),
        ("a={b: 1", "'{' is never closed"),
        ("a=[b]]", "']' follows the end of the value"),
        ("a=[b,,c]", "a value is missing"),
        ("a=[/m/Song [Live.wav]", "'[' is not expected there"),
        ('a="b', 'a quote (") is never closed'),
        ("a='b' c", "'c' follows the end of the value"),
        (r'a="\d"', r"'\' begins an escape of JSON"),
        ("a={b:1}", "expected 'key: value' with a space after the colon"),
        ("a={b}", "expected 'key: value'"),
        ("a=${", "'${' begins a reference"),
        ("a=!!python/object/apply:os.getcwd []", "YAML's tags and anchors (!) are not read"),
        ("a=[!!python/name:os.system ]", "YAML's tags and anchors (!) are not read"),
        ("a=&b c", "YAML's tags and anchors (&) are not read"),
        ("a=" + "[" * 10_000, "brackets are nested more than 50 deep"),
    ],
)
def test_what_cannot_be_read_is_shown(text, message):
    with pytest.raises(ConfigError) as caught:
        read_parameters(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def written(value):
    """Write a value as a person may who quotes every text."""
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{quote(key)}: {written(each)}' for key, each in value.items())}}}"
    return "null" if value is None else str(value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS.filter(bool), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_what_is_quoted_is_read_as_it_was(values):
    text = ",".join(f"section.key{number}={written(value)}" for number, value in enumerate(values))
    assert read_parameters(text) == {"section": {f"key{number}": value for number, value in enumerate(values)}}


@given(TEXTS)
def test_single_quotes_keep_every_text(text):
    quoted = text.replace("'", "''")
    assert read_parameters(f"a='{quoted}'") == {"a": text}


@given(st.text(st.sampled_from("ab=,.:[]{}'\"\\ $*&!#|>%@`?-0"), max_size=20))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ConfigError):
        read_parameters(f"a={text}")

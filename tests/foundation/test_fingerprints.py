import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genre_pipeline.fingerprints import fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(derandomize=True, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), PLAIN, max_size=4))
def test_the_order_of_keys_does_not_matter(parts):
    backwards = dict(reversed(list(parts.items())))
    assert fingerprint("s", 1, **parts) == fingerprint("s", 1, **backwards)


def test_stage_version_and_parts_all_matter():
    prints = {
        fingerprint("split", 1, seed=0),
        fingerprint("split", 2, seed=0),
        fingerprint("train", 1, seed=0),
        fingerprint("split", 1, seed=1),
        fingerprint("split", 1, seed="0"),
        fingerprint("split", 1),
    }
    assert len(prints) == 6
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in prints)


def test_a_known_value_keeps_stored_results_valid():
    assert fingerprint("split", 1, seed=0) == "efa74c160a8d1368"


def test_what_is_not_plain_json_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable"):
        fingerprint("split", 1, path=object())

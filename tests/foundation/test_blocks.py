import pytest
from pydantic import Field, ValidationError, field_validator

from genre_pipeline.blocks import Block, parse_block
from genre_pipeline.errors import ConfigError


class Inner(Block):
    n_mels: int = Field(ge=1)


class Outer(Block):
    name: str
    inner: Inner
    rate: float = Field(default=1.0, gt=0)


def test_values_are_frozen():
    block = parse_block(Outer, {"name": "a", "inner": {"n_mels": 4}}, key="outer")
    assert block.inner.n_mels == 4
    with pytest.raises(ValidationError, match="frozen"):
        block.rate = 2.0


def test_dump_gives_plain_types():
    block = parse_block(Outer, {"name": "a", "inner": {"n_mels": 4}}, key="outer")
    assert block.dump() == {"name": "a", "inner": {"n_mels": 4}, "rate": 1.0}


def test_every_fault_is_named_with_key_value_and_what_is_allowed():
    with pytest.raises(ConfigError) as caught:
        parse_block(Outer, {"inner": {"n_mels": 0, "n_mel": 3}, "rate": -1}, key="features.a")
    message = str(caught.value)
    assert message.startswith("4 bad parameters:")
    assert "features.a.name: is missing" in message
    assert "features.a.inner.n_mels: got 0. Input should be greater than or equal to 1." in message
    assert "features.a.inner.n_mel: is not a parameter. Did you mean 'n_mels'? Known: n_mels." in message
    assert "features.a.rate: got -1. Input should be greater than 0." in message


def test_one_fault_is_singular():
    with pytest.raises(ConfigError, match="1 bad parameter:\n"):
        parse_block(Inner, {"n_mels": "many"}, key="inner")


@pytest.mark.parametrize("values", [None, 3, ["n_mels"], "n_mels"])
def test_what_is_no_mapping_is_refused(values):
    with pytest.raises(ConfigError, match="inner: expected a mapping of parameters, got"):
        parse_block(Inner, values, key="inner")


def test_a_check_of_the_project_speaks_for_itself():
    class Even(Block):
        n: int

        @field_validator("n")
        @classmethod
        def check(cls, n: int) -> int:
            raise ValueError(f"{n} is odd: give an even number.")

    with pytest.raises(ConfigError) as caught:
        parse_block(Even, {"n": 3}, key="even")
    assert str(caught.value) == "1 bad parameter:\n  even.n: got 3. 3 is odd: give an even number."


def test_long_values_are_shortened_in_messages():
    with pytest.raises(ConfigError) as caught:
        parse_block(Inner, {"n_mels": "x" * 500}, key="inner")
    assert len(str(caught.value)) < 250

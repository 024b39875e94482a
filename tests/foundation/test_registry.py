from dataclasses import dataclass

import pytest

from genre_pipeline.errors import ConfigError, GenrePipelineError, UnknownNameError
from genre_pipeline.registry import Registry, suggestion


@dataclass(frozen=True)
class Member:
    name: str


@pytest.fixture
def registry() -> Registry[Member]:
    registry = Registry[Member]("model")
    for name in ("net1", "crnn", "svm"):
        registry.register(Member(name))
    return registry


def test_members_are_found_and_listed_in_order(registry):
    assert registry["crnn"] == Member("crnn")
    assert registry.names() == ["crnn", "net1", "svm"]
    assert [member.name for member in registry] == ["crnn", "net1", "svm"]
    assert len(registry) == 3
    assert "svm" in registry
    assert "vgg" not in registry


def test_an_unknown_name_is_answered_with_the_nearest(registry):
    with pytest.raises(UnknownNameError, match=r"Unknown model 'nte1'. Did you mean 'net1'\? Known: crnn, net1, svm."):
        registry["nte1"]


def test_a_name_like_none_gets_no_suggestion(registry):
    with pytest.raises(UnknownNameError, match=r"Unknown model 'xyzzy'\. Known: crnn, net1, svm\."):
        registry["xyzzy"]


def test_registering_twice_is_an_error(registry):
    with pytest.raises(ValueError, match="model 'svm' is registered twice"):
        registry.register(Member("svm"))


def test_suggestion_without_any_known_name():
    assert suggestion("a", []) == "Known: none."


def test_a_package_is_imported_on_first_look_up():
    from genre_pipeline.datasets import DATASETS

    assert {"demo", "folder", "gtzan"} <= set(DATASETS.names())


def test_unknown_names_are_configuration_errors_of_the_one_tree():
    assert issubclass(UnknownNameError, ConfigError)
    assert issubclass(ConfigError, GenrePipelineError)


def test_every_error_is_in_the_tree():
    from genre_pipeline import errors

    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    assert len(classes) > 10
    assert all(issubclass(each, GenrePipelineError) for each in classes)

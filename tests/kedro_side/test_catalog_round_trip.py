"""A catalog written down as configuration and read again is the same: ``kedro catalog`` and Kedro-Viz depend on it."""

import re

import pytest
import yaml
from kedro.io import DataCatalog

import genre_pipeline.catalog
from genre_pipeline.configuration import load_configuration

PLACEHOLDER = re.compile(r"{\w+}")


@pytest.fixture(scope="module")
def catalog():
    """One dataset of each pattern and of each entry of the project's catalog."""
    written = DataCatalog.from_config(load_configuration()["catalog"])
    for pattern in written.config_resolver.list_patterns():
        written.get(PLACEHOLDER.sub("x", pattern))
    for name in written.keys():  # noqa: SIM118  # a catalog is no dictionary
        written.get(name)
    return written


def test_every_class_is_in_the_catalog(catalog):
    # A new class is tested here by being used, or by another pattern.
    assert {type(catalog.get(name)).__name__ for name in catalog} >= {*genre_pipeline.catalog.__all__}


def test_a_written_catalog_is_read_as_it_was(catalog):
    config, credentials, load_versions, save_version = catalog.to_config()
    # Through text, without any type of Python's.
    text = yaml.safe_dump(config, sort_keys=False)
    again = DataCatalog.from_config(yaml.safe_load(text), credentials, load_versions, save_version)
    assert again.to_config() == catalog.to_config()
    for name in config:
        before, after = catalog.get(name), again.get(name)
        assert type(after) is type(before)
        assert str(after) == str(before)

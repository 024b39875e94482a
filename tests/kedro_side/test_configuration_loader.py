"""The configuration is read again when anything that it depends on has changed, and only then."""

import os

import pytest
from kedro.config import OmegaConfigLoader

from genre_pipeline.configuration import ConfigLoader


@pytest.fixture
def conf(tmp_path):
    for env, text in (("base", "rate: 1\nname: ${name:}\n"), ("fast", "rate: 2\n")):
        (tmp_path / env).mkdir()
        (tmp_path / env / "parameters.yml").write_text(text)
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """How often files were read."""
    counted = []
    read = OmegaConfigLoader._read_raw_config
    monkeypatch.setattr(OmegaConfigLoader, "_read_raw_config", lambda self, key: counted.append(key) or read(self, key))
    return counted


def load(conf, **options):
    name = {"name": lambda: os.environ.get("SOME_NAME", "none")}
    return ConfigLoader(str(conf), base_env="base", default_run_env="base", custom_resolvers=name, **options)[
        "parameters"
    ]


def test_it_is_read_once(conf, reads):
    assert load(conf) == load(conf) == {"rate": 1, "name": "none"}
    assert reads.count("parameters") == 1


def test_what_is_done_to_it_stays_with_who_does_it(conf):
    load(conf)["rate"] = 3
    assert load(conf)["rate"] == 1


def test_each_environment_and_each_parameter_has_its_own(conf):
    assert load(conf, env="fast")["rate"] == 2
    assert load(conf, runtime_params={"rate": 3})["rate"] == 3
    assert load(conf)["rate"] == 1


def test_files_that_change_come_or_go_are_seen(conf):
    assert load(conf)["rate"] == 1
    (conf / "base" / "parameters.yml").write_text("rate: 44\n")
    assert load(conf) == {"rate": 44}
    (conf / "base" / "parameters_more.yml").write_text("more: 5\n")
    assert load(conf) == {"rate": 44, "more": 5}
    (conf / "base" / "parameters.yml").unlink()
    assert load(conf) == {"more": 5}


def test_resolvers_see_the_environment_variables_of_now(conf, monkeypatch):
    assert load(conf)["name"] == "none"
    monkeypatch.setenv("SOME_NAME", "mine")
    assert load(conf)["name"] == "mine"


def test_what_was_put_in_counts(conf):
    loader = ConfigLoader(str(conf), base_env="base", default_run_env="base")
    loader["parameters"] = {"rate": 9}
    assert loader["parameters"] == {"rate": 9}

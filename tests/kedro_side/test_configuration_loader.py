"""Experiments are files; the configuration is read again when anything that it depends on has changed."""

import os
import shutil

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

from genre_pipeline.configuration import ConfigLoader, with_experiment
from genre_pipeline.errors import ConfigError


@pytest.fixture
def conf(tmp_path):
    for env, text in (("base", "rate: 1\nname: ${name:}\n"), ("fast", "rate: 2\n")):
        (tmp_path / env / "experiments").mkdir(parents=True)
        (tmp_path / env / "parameters.yml").write_text(text)
    (tmp_path / "base" / "experiments" / "demo.yml").write_text("experiment: {}\n")
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """How often files were read."""
    counted = []
    read = OmegaConfigLoader.load_and_merge_dir_config
    monkeypatch.setattr(
        OmegaConfigLoader,
        "load_and_merge_dir_config",
        lambda self, folder, patterns, key, *rest, **options: (
            counted.append(key) or read(self, folder, patterns, key, *rest, **options)
        ),
    )
    return counted


def load(conf, **options):
    name = {"name": lambda: os.environ.get("SOME_NAME", "none")}
    loader = ConfigLoader(str(conf), base_env="base", default_run_env="base", custom_resolvers=name, **options)
    parameters = loader["parameters"]
    assert parameters.pop("experiment")["name"] == loader.experiment
    return parameters


def test_it_is_read_once(conf, reads):
    assert load(conf) == {"rate": 1, "name": "none"}
    n_reads = reads.count("parameters")
    assert load(conf) == {"rate": 1, "name": "none"}
    assert reads.count("parameters") == n_reads > 0


def test_its_files_are_parsed_once_whatever_is_merged_with_them(conf, monkeypatch):
    load(conf)
    monkeypatch.setattr(OmegaConf, "load", None)
    assert load(conf, runtime_params={"rate": 3})["rate"] == 3
    monkeypatch.setenv("SOME_NAME", "mine")
    assert load(conf)["name"] == "mine"


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


SETTINGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft"},
}
KNOWN = {"datasets": {"demo": {}, "mine": {}, "big": {}}, "models": {"svm": {}, "net": {}}}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def project(tmp_path):
    """A folder of configuration with two experiments of the project and one of this machine."""
    defaults = {"title": "${globals:experiment}", "datasets": ["demo"], "models": ["svm", "net"]}
    write(tmp_path / "base/parameters.yml", {"experiment": defaults, "n_workers": 1, "epochs": 10, **KNOWN})
    write(tmp_path / "base/catalog.yml", {"report": {"filepath": "${globals:experiment}/report.html"}})
    write(tmp_path / "base/experiments/demo.yml", {"experiment": {"title": "The demo"}})
    write(tmp_path / "base/experiments/both.yml", {"experiment": {"datasets": ["demo", "mine"]}, "epochs": 20})
    write(tmp_path / "local/experiments/private.yml", {"experiment": {"datasets": ["mine"], "models": ["net"]}})
    write(tmp_path / "cluster/parameters.yml", {"n_workers": 64})
    return tmp_path


def read(project, name=None, /, env=None, **given):
    return ConfigLoader(str(project), env, with_experiment(given, name), **SETTINGS)


class TestExperiments:
    def test_one_is_what_its_file_says_and_the_rest_of_the_base(self, project):
        parameters = read(project, "both")["parameters"]
        assert parameters["experiment"] == {
            "name": "both",
            "title": "both",
            "datasets": ["demo", "mine"],
            "models": ["svm", "net"],
        }
        assert (parameters["epochs"], parameters["n_workers"]) == (20, 1)

    @pytest.mark.parametrize(
        ("experiment", "variable", "given", "chosen"),
        [
            (None, None, {}, "demo"),
            (None, "both", {}, "both"),
            (None, "", {}, "demo"),
            (None, "both", {"experiment": {"name": "private"}}, "private"),
            ("private", "both", {}, "private"),
            ("both", None, {"experiment": {"name": "both"}}, "both"),
        ],
    )
    def test_the_option_the_parameters_and_the_variable_choose_it(
        self, project, monkeypatch, experiment, variable, given, chosen
    ):
        if variable is not None:
            monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", variable)
        loader = read(project, experiment, **given)
        assert loader["parameters"]["experiment"]["name"] == loader.experiment == chosen
        assert loader["catalog"]["report"]["filepath"] == f"{chosen}/report.html"

    def test_two_that_are_chosen_at_once_are_refused(self, project):
        with pytest.raises(ConfigError, match=r"--experiment both and experiment.name=demo are both given"):
            read(project, "both", experiment={"name": "demo"})

    @pytest.mark.parametrize("env", [None, "local", "cluster", "base"])
    def test_it_goes_with_every_environment(self, project, env):
        parameters = read(project, "private", env=env)["parameters"]
        assert parameters["experiment"]["datasets"] == ["mine"]
        assert parameters["n_workers"] == (64 if env == "cluster" else 1)

    @pytest.mark.parametrize("env", [None, "local", "cluster", "base"])
    def test_this_machine_is_read_with_every_environment(self, project, env):
        write(project / "local/parameters.yml", {"epochs": 5, "n_workers": 2})
        write(project / "local/credentials.yml", {"webhook": {"url": "here"}})
        loader = read(project, "both", env=env)
        # The machine comes after the experiment, the chosen environment after the machine.
        assert loader["parameters"]["epochs"] == 5
        assert loader["parameters"]["n_workers"] == (64 if env == "cluster" else 2)
        assert loader["credentials"] == {"webhook": {"url": "here"}}

    def test_a_project_without_a_folder_for_this_machine_is_read(self, project):
        shutil.rmtree(project / "local")
        assert read(project)["parameters"]["experiment"]["title"] == "The demo"

    def test_loaders_of_two_experiments_do_not_mix(self, project):
        first, second = read(project, "demo"), read(project, "both")
        assert first["catalog"]["report"]["filepath"] == "demo/report.html"
        assert second["catalog"]["report"]["filepath"] == "both/report.html"
        assert first["parameters"]["experiment"]["title"] == "The demo"

    def test_the_same_configuration_is_read_from_an_archive(self, project, tmp_path_factory):
        archive = shutil.make_archive(
            str(tmp_path_factory.mktemp("packed") / "conf"), "gztar", project.parent, project.name
        )
        assert read(archive, "both", env="cluster")["parameters"] == read(project, "both", env="cluster")["parameters"]

    @pytest.mark.parametrize("content", ["", "# nothing yet\n", "{}\n"])
    def test_an_empty_file_is_no_experiment(self, project, content):
        (project / "local/experiments/emptied.yml").write_text(content)
        with pytest.raises(ConfigError, match=r"emptied\.yml: is empty\. Expected what"):
            read(project, "emptied")["parameters"]

    def test_they_are_listed(self, project):
        assert read(project).experiments == ["both", "demo", "private"]

    def test_the_default_needs_no_options(self, project):
        assert read(project).options == read(project, "demo", env="local").options == ""
        assert read(project, "both", env="cluster").options == " --env cluster --experiment both"


class TestNamesOfExperiments:
    @pytest.mark.parametrize("name", ["../demo", "Demo", "a/b", "", "my music", "1st", "a__b", ".", "démo", "{x}"])
    def test_what_is_no_safe_folder_is_refused(self, project, name):
        with pytest.raises(ConfigError, match=r"The experiment name '.*' cannot be used: expected lower-case letters"):
            read(project, name)

    @pytest.mark.parametrize("name", [None, True, 1, ["demo"]])
    def test_what_is_no_text_is_refused(self, project, name):
        with pytest.raises(ConfigError, match=r"The experiment name '.*' cannot be used"):
            read(project, experiment={"name": name})

    def test_an_unknown_one_is_refused_with_a_suggestion(self, project):
        with pytest.raises(ConfigError) as refused:
            read(project, "privat", epochs=3)["parameters"]
        assert "There is no experiment 'privat'" in str(refused.value)
        assert "Did you mean 'private'? Known: both, demo, private." in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_an_experiment_is_no_environment(self, project):
        with pytest.raises(
            ConfigError, match=r"'both' is an experiment.*--experiment both \(or GENRE_PIPELINE_EXPERIMENT"
        ):
            read(project, env="both")
        with pytest.raises(ConfigError, match=r"There is no environment 'clster'.*Did you mean 'cluster'"):
            read(project, env="clster")

    def test_a_file_cannot_give_itself_another_name(self, project, monkeypatch):
        write(project / "local/experiments/mine.yml", {"experiment": {"name": "demo", "datasets": ["mine"]}})
        monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "mine")
        with pytest.raises(ConfigError, match="an experiment is named by its file, here 'mine'"):
            read(project)["parameters"]
        # However it is chosen.
        with pytest.raises(ConfigError, match="an experiment is named by its file, here 'mine'"):
            read(project, "mine")["parameters"]

    def test_its_own_name_is_allowed_in_a_file(self, project):
        write(project / "local/experiments/mine.yml", {"experiment": {"name": "mine", "datasets": ["mine"]}})
        assert read(project, "mine")["parameters"]["experiment"]["name"] == "mine"

    def test_no_environment_can_rename_the_experiment(self, project):
        write(project / "cluster/parameters.yml", {"experiment": {"name": "both"}})
        with pytest.raises(ConfigError, match="experiment.name: a file sets it to 'both'"):
            read(project, env="cluster")["parameters"]

    @pytest.mark.parametrize("name", ["parameters_of_mine", "catalog", "mlflow_test", "credentials"])
    def test_a_file_that_kedro_would_read_for_all_is_refused(self, project, name):
        write(project / f"local/experiments/{name}.yml", {"experiment": {"datasets": ["mine"]}})
        patterns = {"mlflow": ["mlflow*", "**/mlflow*"]}
        loader = ConfigLoader(str(project), config_patterns=patterns, **SETTINGS)
        with pytest.raises(ConfigError, match=r"an experiment's name must not begin with .*Rename the file"):
            loader["parameters"]


class TestResultsOfAnotherExperiment:
    @pytest.mark.parametrize(
        "given",
        [
            {"experiment": {"datasets": ["demo"]}},
            {"experiment": {"models": ["net"], "datasets": ["mine"]}},
            {"experiment": {"seed": 3}, "epochs": 1},
            {"models": {"net": {"width": 3}}},
        ],
        ids=str,
    )
    def test_a_run_may_leave_parts_out_and_change_parameters(self, project, given):
        assert read(project, "both", **given)["parameters"]["experiment"]["name"] == "both"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"datasets": ["big"]}, "experiment.datasets: 'big' is not part of the experiment 'private'"),
            ({"datasets": ["mine", "demo"]}, "experiment.datasets: 'demo' is not part of the experiment 'private'"),
            ({"models": ["svm"]}, "experiment.models: 'svm' is not part of the experiment 'private'"),
        ],
    )
    def test_what_its_file_does_not_name_needs_another_name(self, project, given, message):
        with pytest.raises(ConfigError) as refused:
            read(project, "private", experiment=given)["parameters"]
        assert message in str(refused.value)
        assert "--experiment" in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_the_experiment_that_is_meant_is_named(self, project):
        write(project / "local/experiments/big.yml", {"experiment": {"datasets": ["big"]}})
        with pytest.raises(ConfigError, match=r"Run the experiment 'big' \(--experiment big\)"):
            read(project, experiment={"datasets": ["big"]})["parameters"]

    @pytest.mark.parametrize("env", ["local", "cluster"])
    def test_no_environment_can_add_to_it(self, project, env):
        write(project / env / "parameters.yml", {"experiment": {"datasets": ["big"]}})
        with pytest.raises(ConfigError, match="experiment.datasets: 'big' is not part of the experiment 'demo'"):
            read(project, env=env)["parameters"]

    def test_an_environment_may_narrow_every_experiment(self, project):
        write(project / "local/parameters.yml", {"experiment": {"models": ["net"]}})
        assert read(project, "both")["parameters"]["experiment"]["models"] == ["net"]

    def test_a_new_name_may_compare_anything(self, project):
        parameters = read(project, "quick", experiment={"datasets": ["big"]})["parameters"]
        assert parameters["experiment"] == {
            "name": "quick",
            "title": "quick",
            "datasets": ["big"],
            "models": ["svm", "net"],
        }

    def test_what_is_not_defined_at_all_is_left_to_the_check_of_the_parameters(self, project):
        assert read(project, experiment={"models": ["swm"]})["parameters"]["experiment"]["models"] == ["swm"]

    def test_so_is_what_is_no_name(self, project):
        assert read(project, experiment={"models": [{"a": 1}]})["parameters"]["experiment"]["models"] == [{"a": 1}]


class TestFilesThatCannotBeRead:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"- demo\n- mine\n", "expected keys and values, got a list"),
            (b'experiment: {title: "\xff"}\n', "can't decode byte 0xff"),
            (b"epochs: 1\nepochs: 2\n", "found duplicate key epochs"),
            (b"experiment: [\n a: b", "line 2, column"),
        ],
    )
    def test_the_message_names_the_file(self, project, content, reason):
        (project / "local/experiments/private.yml").write_bytes(content)
        with pytest.raises(ConfigError) as refused:
            read(project, "private")["parameters"]
        assert reason in str(refused.value)
        assert str(project / "local/experiments/private.yml") in str(refused.value)
        assert "\n" not in str(refused.value)
        # Others are not concerned.
        assert read(project)["parameters"]["experiment"]["name"] == "demo"

    def test_the_catalog_gives_the_same_reason(self, project):
        write(project / "base/catalog.yml", {"models": {"filepath": "${storage:models}"}})
        (project / "local/experiments/private.yml").write_text("experiment: [")
        with pytest.raises(ConfigError) as refused:
            read(project, "private")["catalog"]
        assert str(refused.value).startswith(str(project / "local/experiments/private.yml"))

    @pytest.mark.parametrize(
        ("storage", "message"),
        [
            ({"models": None}, "storage.models: expected a folder, got None."),
            ({"models": ["x"]}, r"storage.models: expected a folder, got \['x'\]."),
            (1, "storage.models: expected a folder, got None."),
            ({"models": "../x"}, r"storage.models: '\.\./x' leads out of the data folder"),
        ],
    )
    def test_a_folder_of_results_is_named_by_its_parameter(self, project, storage, message):
        write(project / "base/catalog.yml", {"models": {"filepath": "${storage:models}"}})
        with pytest.raises(ConfigError, match=f"^{message}"):
            read(project, storage=storage)["catalog"]

    def test_a_link_to_nothing_concerns_nobody(self, project):
        # Emacs leaves one beside each file that is being changed.
        (project / "local/experiments/.#private.yml").symlink_to("somebody@somewhere.4711:1700000000")
        assert read(project)["parameters"]["experiment"]["name"] == "demo"
        assert read(project).experiments == ["both", "demo", "private"]

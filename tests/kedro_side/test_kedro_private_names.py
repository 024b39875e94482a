"""The private names of Kedro that the project uses, each because there is no public one.

After an update of Kedro: read what became of them there, and raise the version here.
"""

import inspect

import kedro
import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.cli import project
from kedro.framework.session import KedroSession
from kedro.io.core import AbstractVersionedDataset
from kedro.runner import AbstractRunner, ParallelRunner, SequentialRunner, ThreadRunner
from kedro_datasets.json import JSONDataset


def test_kedro_is_the_version_whose_private_names_were_read():
    assert kedro.__version__.split(".")[:2] == ["1", "7"]


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
def test_a_runner_makes_its_executor_and_runs_as_we_replace_it(runner):
    assert list(inspect.signature(runner._get_executor).parameters) == ["self", "max_workers"]
    assert list(inspect.signature(AbstractRunner._run).parameters)[1:3] == ["pipeline", "catalog"]
    assert runner()._is_async is False


def test_a_versioned_entry_has_its_path_and_version_and_chooses_where_it_is_written(tmp_path):
    entry = JSONDataset(filepath=str(tmp_path / "a.json"))
    assert isinstance(entry, AbstractVersionedDataset)
    assert str(entry._filepath) == str(tmp_path / "a.json")
    assert entry._version is None
    assert str(entry._get_save_path()) == str(entry._get_load_path()) == str(tmp_path / "a.json")


def test_what_kedro_wraps_a_datasets_methods_in_can_be_taken_off():
    assert callable(JSONDataset.save.__wrapped__)
    assert callable(JSONDataset.load.__wrapped__)


def test_a_session_has_its_store_and_reads_the_configuration():
    assert callable(KedroSession._get_config_loader)
    assert "_store" in inspect.getsource(KedroSession)


def test_a_loader_parses_the_files_of_a_folder_before_it_merges_them():
    names = ["self", "conf_path", "patterns", "key", "processed_files", "read_environment_variables"]
    assert list(inspect.signature(OmegaConfigLoader._read_dir_configs).parameters) == names
    assert "_read_dir_configs" in inspect.getsource(OmegaConfigLoader.load_and_merge_dir_config)


def test_a_runners_arguments_are_resolved_as_on_the_command_line():
    assert list(inspect.signature(project._resolve_runner_kwargs).parameters) == ["is_async", "runner_params"]

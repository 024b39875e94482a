"""Kedro's loader of the configuration, which reads nothing again that is as it was.

A session reads the parameters twice, ``kedro refresh --watch`` at every check, and ``kedro prune`` those of every
environment; reading the 60 files of one takes most of a second.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from genre_pipeline.errors import ConfigError
from genre_pipeline.project import PROJECT_ROOT, check_output
from genre_pipeline.registry import suggestion

# The others are small, and credentials are not to lie around.
_SLOW = ("parameters", "catalog")
# A session sets them for its child processes: neither parameters nor catalog know of them.
_OURS = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID")
# [?] More than a process has use for: both for each of a dozen environments.
_N_KEPT = 32
_kept: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()


class ConfigLoader(OmegaConfigLoader):
    """The loader of Kedro, with a memory that all loaders of a process share.

    What was read is used again while the files, the environment variables and the runtime parameters are the same.

    Raises:
        ConfigError: If there is no such folder or environment.
    """

    def __init__(self, conf_source: str, env: str | None = None, *args: Any, **options: Any) -> None:
        with _readable(f"{conf_source}: the globals"):
            _check_environment(conf_source, [name for name in (options.get("base_env"), env) if name])
            super().__init__(conf_source, env, *args, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a kind of configuration, merged and resolved: a copy, which may be changed.

        Args:
            key: ``parameters``, ``catalog`` or another kind.

        Raises:
            KeyError: If there is no such kind.
            MissingConfigException: If there is no file of it.
            ConfigError: If a file, or what was given beside it, cannot be read.
        """
        with _readable(f"The {key} of the environment '{self.env or self.default_run_env}'"):
            try:
                return self._get(key)
            except MissingConfigException as error:
                # Without the others, a session goes on.
                if key in _SLOW:
                    raise ConfigError(f"{self.conf_source}: {_one_line(error)}") from None
                raise

    def _get(self, key: str) -> dict[str, Any]:
        # What somebody put in is not read from files; files of an archive or a server have no times to go by.
        if key in self or key not in _SLOW:
            return super().__getitem__(key)
        if self._protocol != "file":
            return self._read(key)
        state = self._state(key)
        if state in _kept:
            _kept.move_to_end(state)
        else:
            _kept[state] = self._read(key)
            if len(_kept) > _N_KEPT:
                _kept.popitem(last=False)
        return deepcopy(_kept[state])

    def _read(self, key: str) -> dict[str, Any]:
        if key == "catalog":
            OmegaConf.register_new_resolver("storage", self._storage, replace=True)
        read = super().__getitem__(key)
        return complete_models(read) if key == "parameters" else read

    def _storage(self, name: str) -> str:
        """Return a folder of the parameters for the catalog: ``${storage:models}``."""
        return str(check_output(Path(self["parameters"]["storage"][name])))

    def _state(self, key: str) -> Hashable:
        """Return all that what is read depends on."""
        folders = [Path(self.conf_source) / env for env in (self.base_env, self.env or self.default_run_env)]
        files = [
            (str(path), status.st_mtime_ns, status.st_size)
            for folder in folders
            for path in sorted(folder.rglob("*"))
            for status in (path.stat(),)
        ]
        return (
            key,
            tuple(self.config_patterns[key]),
            tuple(map(str, folders)),
            tuple(files),
            repr(self.runtime_params),
            # Resolvers read them, and take relative paths from where we are.
            tuple(sorted((name, value) for name, value in os.environ.items() if name not in _OURS)),
            str(Path.cwd()),
        )


def complete_models(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give each model its name and the training parameters that all models share.

    Args:
        parameters: Merged parameters, by section. What is no mapping stays as it is: the check of the parameters
            refuses it.

    Returns:
        The parameters with complete models.

    Example:
        >>> complete_models({"models": {"svm": {"family": "svm"}}, "training": {"device": "cpu"}})["models"]
        {'svm': {'name': 'svm', 'family': 'svm', 'training': {'device': 'cpu'}}}
    """
    models, shared = parameters.get("models"), parameters.get("training", {})
    if not (isinstance(models, Mapping) and isinstance(shared, Mapping)):
        return dict(parameters)
    return {**parameters, "models": {name: _complete(str(name), values, shared) for name, values in models.items()}}


def _complete(name: str, values: object, shared: Mapping[str, Any]) -> object:
    if not (isinstance(values, Mapping) and isinstance(values.get("training", {}), Mapping)):
        return values
    return {"name": name, **values, "training": {**shared, **values.get("training", {})}}


def load_configuration(env: str | None = None, given: Mapping[str, Any] | None = None) -> ConfigLoader:
    """Return the project's configuration where there is no session.

    Args:
        env: Name of the environment; none for ``KEDRO_ENV``, or the default.
        given: Parameters that come last, as ``--params`` gives them.

    Raises:
        ConfigError: If there is no such environment.
    """
    from kedro.framework import project
    from kedro.framework.project import settings

    # Once: it forgets the pipelines.
    if project.PACKAGE_NAME is None:
        project.configure_project(__name__.partition(".")[0])
    loader: ConfigLoader = settings.CONFIG_LOADER_CLASS(
        str(PROJECT_ROOT / settings.CONF_SOURCE),
        env or os.environ.get("KEDRO_ENV"),
        runtime_params=dict(given) if given else None,
        **settings.CONFIG_LOADER_ARGS,
    )
    return loader


def _check_environment(conf_source: str, names: list[str]) -> None:
    """Check that a folder of environments has some; archives and servers are not looked into."""
    folder = Path(conf_source)
    if "://" in conf_source or folder.is_file():
        return
    if not folder.is_dir():
        raise ConfigError(
            f"There is no configuration at {folder}. Go to the folder that holds conf/, or name another one with "
            "--conf-source."
        )
    known = [each.name for each in folder.iterdir() if each.is_dir()]
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no environment '{name}' in {folder}. {suggestion(name, known)}")


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Report as one message what libraries raise of YAML, ``${...}`` and values that do not fit."""
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except OmegaConfBaseException as error:
        # What follows the first line are names of OmegaConf's own.
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{what} cannot be read: {key}{str(error).splitlines()[0]}.") from error
    except (YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{what} cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Kedro's loader of the configuration, which reads nothing again that is as it was.

A session asks for the parameters twice, ``kedro refresh --watch`` at every look, and ``kedro prune`` for those of every
environment; reading the 60 files of one takes most of a second.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

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
    """

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a kind of configuration, merged and resolved: a copy, which may be changed.

        Args:
            key: ``parameters``, ``catalog`` or another kind.

        Raises:
            KeyError: If there is no such kind.
            MissingConfigException: If there is no file of it.
        """
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
        read = super().__getitem__(key)
        return complete_models(read) if key == "parameters" else read

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

"""Kedro's loader of the configuration. It adds the experiment, and reads nothing again that has not changed.

Parameters come from the base environment, the experiment's file, ``conf/local``, the chosen environment and the
command, in this order; later ones win. Reading the 90 files takes most of a second, and a session reads them twice,
``kedro refresh --watch`` at every check, and ``kedro prune`` those of every experiment. What was read is kept, and what
the files hold before other parameters are merged with it.
"""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from genre_pipeline.cells import check_name
from genre_pipeline.errors import ConfigError, causes
from genre_pipeline.project import (
    DEFAULT_EXPERIMENT,
    EXPERIMENT_VARIABLE,
    PROJECT_ROOT,
    artifact_location,
    check_output,
    data_root,
    environment_variable,
    tracking_uri,
)
from genre_pipeline.registry import suggestion

# What Kedro's settings give to the loader.
LOADER_OPTIONS: dict[str, Any] = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    # Environments state differences only: parameters are merged key by key.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft", "globals": "soft"},
    "custom_resolvers": {
        "data": data_root,
        "tracking_uri": tracking_uri,
        "artifact_location": artifact_location,
        "env": environment_variable,
    },
}
# Folder of an environment that holds experiments.
_EXPERIMENTS = "experiments"
# What an experiment compares: a run may leave some of it out, but add nothing.
_COMPARED = ("datasets", "protocols", "models")
# The others are small, and credentials are not to lie around.
_SLOW = ("parameters", "catalog")
# A session sets them for its child processes, and pytest for each test: neither parameters nor catalog know of them.
_UNREAD = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID", "PYTEST_CURRENT_TEST")
# [?] More than a process has use for: both, and the two files of its own, for each of 32 experiments.
_N_KEPT = 128
_kept: OrderedDict[Hashable, bytes] = OrderedDict()


class ConfigLoader(OmegaConfigLoader):
    """The loader of Kedro, with experiments, and with a memory that all loaders of a process share.

    The experiment is ``experiment.name`` of the runtime parameters, else ``GENRE_PIPELINE_EXPERIMENT``, else ``demo``.
    ``conf/local`` is read with every environment. What was read is used again while the files, the environment
    variables and the runtime parameters are the same.

    Attributes:
        experiment: Name of the experiment.

    Raises:
        ConfigError: If there is no such folder or environment, or the experiment's name cannot be used.
    """

    def __init__(self, conf_source: str, env: str | None = None, *args: Any, **options: Any) -> None:
        with _readable(f"{conf_source}: the globals"):
            _check_environment(conf_source, [name for name in (options.get("base_env"), env) if name])
            super().__init__(conf_source, env, *args, **options)
            self.experiment = self._choose_experiment()
            # Kedro's resolver ${globals:...} reads it.
            self["globals"] = {**self["globals"], "experiment": self.experiment}

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a kind of configuration, merged and resolved: a copy, which may be changed.

        Args:
            key: ``parameters``, ``catalog`` or another kind.

        Raises:
            KeyError: If there is no such kind.
            MissingConfigException: If there is no file of it.
            ConfigError: If a file, or what was given beside it, cannot be read; for the parameters, if there is no such
                experiment, or if what was given would make another one of it.
        """
        # What somebody put in is not read from files.
        if key in self or key not in self.config_patterns:
            return super().__getitem__(key)
        with _readable(f"The {key} (environment '{self.env or self.default_run_env}')"):
            try:
                return self._get(key)
            except MissingConfigException as error:
                # Without the others, a session goes on.
                if key in _SLOW:
                    raise ConfigError(f"{self.conf_source}: {_one_line(error)}") from None
                raise

    @property
    def experiments(self) -> list[str]:
        """The experiments that have a file, sorted."""
        return sorted({path.stem for path in self._experiment_files()})

    @property
    def options(self) -> str:
        """The options of a command that choose this environment and experiment; empty if both are the default."""
        env = "" if self.env in {None, self.default_run_env} else f" --env {self.env}"
        return env + ("" if self.experiment == DEFAULT_EXPERIMENT else f" --experiment {self.experiment}")

    def _choose_experiment(self) -> str:
        section = self.runtime_params.get("experiment")
        if isinstance(section, Mapping) and "name" in section:
            return check_name(str(section["name"]), kind="experiment")
        return check_name(os.environ.get(EXPERIMENT_VARIABLE) or DEFAULT_EXPERIMENT, kind="experiment")

    @contextmanager
    def _beside(self, given: dict[str, Any]) -> Iterator[None]:
        """Have files read as if other runtime parameters were given."""
        runtime_params, self.runtime_params = self.runtime_params, given
        try:
            yield
        finally:
            self.runtime_params = runtime_params

    def _experiment_files(self) -> list[Path]:
        """Return the files of all experiments.

        Raises:
            ConfigError: If Kedro would take one for its parameters, catalog or the like, in every experiment.
        """
        found = [
            Path(path)
            for env in self._environments()
            for path in self._fs.glob(f"{self._folder(env)}/{_EXPERIMENTS}/*")
            if self._is_valid_config_path(Path(path))
        ]
        for path in found:
            if kinds := [kind for kind in self.config_patterns if path.name.startswith(kind)]:
                raise ConfigError(f"{path}: an experiment's name must not begin with '{kinds[0]}'. Rename the file.")
        return found

    def _get(self, key: str) -> dict[str, Any]:
        # Files of an archive or a server have no times to go by.
        if key not in _SLOW or self._protocol != "file":
            return self._read(key)
        known: dict[str, Any] = _remembered(self._state(key), lambda: self._read(key))
        return known

    def _read_dir_configs(
        self, conf_path: str, patterns: Sequence[str], key: str, processed_files: set[Path], *args: Any
    ) -> dict[Path, Any]:
        """Return what files hold, before anything is merged or resolved; Kedro would parse them each time."""
        read = super()._read_dir_configs
        held: dict[Path, Any]
        if key not in _SLOW or self._protocol != "file":
            held = read(conf_path, patterns, key, processed_files, *args)
            return held

        def parse() -> tuple[dict[Path, Any], set[Path]]:
            found: set[Path] = set()
            return read(conf_path, patterns, key, found, *args), found

        held, found = _remembered((key, tuple(patterns), conf_path, _stamps([Path(conf_path)])), parse)
        processed_files |= found
        return held

    def _read(self, key: str) -> dict[str, Any]:
        # All loaders share the resolvers: another loader may have been made since.
        self._register_globals_resolver()
        self._register_runtime_params_resolver()
        if key == "catalog":
            # The folders of the parameters for the catalog: ${storage:models}.
            storage = cache(self._storage)
            OmegaConf.register_new_resolver("storage", lambda name: _folder_of(name, storage()), replace=True)
        if key == "parameters":
            return complete_models(self._read_parameters())
        found: set[Path] = set()
        layers = [self._layer(env, self.config_patterns[key], key, found) for env in self._environments()]
        if not found and key != "globals":
            folders = ", ".join(map(self._folder, self._environments()))
            raise MissingConfigException(f"There is no file like {self.config_patterns[key]} in {folders}.")
        return self._merge(key, layers)

    def _read_parameters(self, *, checked: bool = True) -> dict[str, Any]:
        """Merge the parameters; unchecked, also those of an experiment that only ``--params`` described."""
        machine = [env for env in self._environments() if env != self.base_env]
        found: set[Path] = set()
        # The name was chosen already: given again, it would hide that a file sets another one.
        given = _unnamed(self.runtime_params)
        with self._beside(given):
            layers = [self._layer(env, self.config_patterns["parameters"], "parameters", found) for env in machine]
        parameters = self._merge("parameters", [self._of_experiment(given, found), *layers])
        if not found:
            raise MissingConfigException(f"There are no parameters in {self._folder(self.base_env)}.")
        section = parameters.setdefault("experiment", {})
        if checked and isinstance(section, dict):
            if section.setdefault("name", self.experiment) != self.experiment:
                raise ConfigError(
                    f"experiment.name: a file sets it to '{section['name']}', but an experiment is named by its file, "
                    f"here '{self.experiment}'. Remove the key."
                )
            if self.experiment not in self.experiments:
                self._check_new()
            elif any(_comparison(each) for each in (self.runtime_params, *layers)):
                _check_part(parameters, self._of_experiment({}, set()), self.experiment, self.experiments)
        return parameters

    def _of_experiment(self, given: dict[str, Any], found: set[Path]) -> dict[str, Any]:
        """Return the parameters of the base environment and of the experiment's file, whatever the machine.

        Args:
            given: Runtime parameters.
            found: Files that were read are added to it.
        """
        with self._beside(given):
            base = self._layer(self.base_env, self.config_patterns["parameters"], "parameters", found)
            files = [f"{_EXPERIMENTS}/{self.experiment}.*"]
            own = [self._layer(env, files, "parameters", found) for env in self._environments()]
        texts = {path: self._fs.cat_file(str(path)) for path in found if path.parent.name == _EXPERIMENTS}
        if texts and not any(map(yaml.safe_load, texts.values())):
            raise ConfigError(
                f"{', '.join(map(str, texts))}: is empty. Expected what the experiment compares, such as "
                "'experiment: {datasets: [my_music]}'. Fill it in, or delete it."
            )
        return self._merge("parameters", [base, *own])

    def _check_new(self) -> None:
        """Check that an experiment without a file is described by what was given with its name.

        Raises:
            ConfigError: If it is not: the name is probably misspelt.
        """
        if not _comparison(self.runtime_params):
            raise ConfigError(
                f"There is no experiment '{self.experiment}' in {self.conf_source}. "
                f"{suggestion(self.experiment, self.experiments)} For a new one, write "
                f"conf/local/{_EXPERIMENTS}/{self.experiment}.yml, or give what it compares: "
                '--params "experiment.datasets=[...]".'
            )

    def _environments(self) -> list[str]:
        """Return the environments that are read, the last of which wins."""
        return list(dict.fromkeys([self.base_env, self.default_run_env, self.env or self.default_run_env]))

    def _folder(self, env: str) -> str:
        return self._get_conf_env_path(env)

    def _layer(self, env: str, patterns: list[str], key: str, found: set[Path]) -> dict[str, Any]:
        """Return what an environment's files of some patterns hold; nothing where there is no folder.

        Raises:
            ConfigError: If a file holds no text, or no keys and values: Kedro would not say which.
        """
        try:
            layer: dict[str, Any] = self.load_and_merge_dir_config(
                self._folder(env), patterns, key, found, read_environment_variables=key == "credentials"
            )
        except MissingConfigException:
            return {}
        except Exception:
            self._check_files(env, patterns)
            raise
        return layer

    def _check_files(self, env: str, patterns: list[str]) -> None:
        """Find the file that cannot be read."""
        from omegaconf.errors import OmegaConfBaseException

        for path in sorted({path for each in patterns for path in self._fs.glob(f"{self._folder(env)}/{each}")}):
            if not self._is_valid_config_path(Path(path)):
                continue
            try:
                content = OmegaConf.load(StringIO(self._fs.cat_file(path).decode("utf-8")))
            except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
                raise ConfigError(f"{path} cannot be read: {_one_line(error)}") from error
            if not OmegaConf.is_dict(content):
                raise ConfigError(f"{path} cannot be read: expected keys and values, got a list.")

    def _merge(self, key: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for layer in layers:
            merged = _merged(merged, layer) if self.merge_strategy.get(key) == "soft" else {**merged, **layer}
        return merged

    def _storage(self) -> object:
        """Return the folders of results, also of an experiment that has no file: its results can be read."""
        is_new = self.experiment not in self.experiments and not _comparison(self.runtime_params)
        parameters = self._read_parameters(checked=False) if is_new else self["parameters"]
        return parameters.get("storage")

    def _state(self, key: str) -> Hashable:
        """Return all that what is read depends on."""
        folders = [Path(self._folder(env)) for env in self._environments()]
        return (
            key,
            self.experiment,
            tuple(self.config_patterns[key]),
            tuple(map(str, folders)),
            _stamps(folders),
            repr(self.runtime_params),
            # Resolvers read them, and take relative paths from where we are.
            tuple(sorted((name, value) for name, value in os.environ.items() if name not in _UNREAD)),
            str(Path.cwd()),
        )


def _remembered(state: Hashable, read: Callable[[], Any]) -> Any:
    """Return a copy of what was read in this state, and read it if that is not known."""
    if state in _kept:
        _kept.move_to_end(state)
    else:
        # Five times as fast as a copy of OmegaConf's nodes.
        _kept[state] = pickle.dumps(read())
        if len(_kept) > _N_KEPT:
            _kept.popitem(last=False)
    return pickle.loads(_kept[state])  # noqa: S301


def _stamps(folders: Iterable[Path]) -> Hashable:
    """Return the files of folders, with what shows that one was changed."""
    stamps = []
    for path in (path for folder in folders for path in sorted(folder.rglob("*"))):
        # Editors leave links to nothing beside a file that is being changed.
        with suppress(FileNotFoundError):
            status = path.stat()
            stamps.append((str(path), status.st_mtime_ns, status.st_size))
    return tuple(stamps)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; lists and values are replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _unnamed(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return runtime parameters without the name of the experiment."""
    section = parameters.get("experiment")
    if not isinstance(section, Mapping):
        return parameters
    return {**parameters, "experiment": {key: value for key, value in section.items() if key != "name"}}


def _folder_of(name: str, storage: object) -> str:
    """Return a folder of results.

    Raises:
        ConfigError: If the parameters say something else, or if it leads out of the data folder.
    """
    folder = storage.get(name) if isinstance(storage, Mapping) else None
    if not isinstance(folder, str):
        raise ConfigError(f"storage.{name}: expected a folder, got {folder!r}.")
    try:
        return str(check_output(Path(folder)))
    except ValueError as error:
        raise ConfigError(f"storage.{name}: {error}.") from None


def _comparison(parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return what parameters say is compared, by section; what is no list is refused by the check of the parameters."""
    experiment = parameters.get("experiment")
    if not isinstance(experiment, Mapping):
        return {}
    return {section: experiment[section] for section in _COMPARED if isinstance(experiment.get(section), list)}


def _check_part(parameters: Mapping[str, Any], own: Mapping[str, Any], name: str, experiments: Sequence[str]) -> None:
    """Check that parameters compare nothing that the file of their experiment does not.

    Raises:
        ConfigError: If they do: the results would replace those of the file.
    """
    known = _comparison(own)
    for section, names in _comparison(parameters).items():
        for each in names:
            # What is not defined at all is refused by the check of the parameters, with a suggestion.
            if (
                not isinstance(each, str)
                or each in known.get(section, ())
                or each not in (parameters.get(section) or {})
            ):
                continue
            remedy = (
                f"Run the experiment '{each}' (--experiment {each})"
                if each in experiments
                else f"Give the comparison a name of its own (such as --experiment my_{name})"
            )
            raise ConfigError(
                f"experiment.{section}: '{each}' is not part of the experiment '{name}', whose results would be "
                f"replaced. {remedy}, or write conf/local/{_EXPERIMENTS}/<name>.yml."
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


def load_configuration(
    env: str | None = None, given: Mapping[str, Any] | None = None, *, experiment: str | None = None
) -> ConfigLoader:
    """Return the project's configuration where there is no session.

    Args:
        env: Name of the environment; ``None`` means ``KEDRO_ENV``, or the default.
        given: Parameters that come last, as ``--params`` gives them.
        experiment: Name of the experiment; ``None`` means that of ``given``, or the default.

    Raises:
        ConfigError: If there is no such environment, or the experiment's name cannot be used.
    """
    return ConfigLoader(
        str(PROJECT_ROOT / "conf"),
        env or os.environ.get("KEDRO_ENV"),
        runtime_params=with_experiment(given or {}, experiment),
        **LOADER_OPTIONS,
    )


def with_experiment(given: Mapping[str, Any], experiment: str | None) -> dict[str, Any]:
    """Return parameters that choose an experiment, too.

    Args:
        given: Parameters, as ``--params`` gives them.
        experiment: Name of the experiment; ``None`` means that of the parameters.

    Raises:
        ConfigError: If the parameters choose another one.

    Example:
        >>> with_experiment({"experiment": {"models": ["svm"]}}, "gtzan")
        {'experiment': {'models': ['svm'], 'name': 'gtzan'}}
    """
    section = given.get("experiment", {})
    # What is no mapping stays as it is: the check of the parameters refuses it.
    if experiment is None or not isinstance(section, Mapping):
        return dict(given)
    if str(section.get("name", experiment)) != experiment:
        raise ConfigError(f"--experiment {experiment} and experiment.name={section['name']} are both given. Give one.")
    return {**given, "experiment": {**section, "name": experiment}}


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
            if name in {path.stem for path in folder.glob(f"*/{_EXPERIMENTS}/*.*")}:
                raise ConfigError(
                    f"'{name}' is an experiment, not an environment: choose it with --experiment {name} "
                    f"(or {EXPERIMENT_VARIABLE}={name})."
                )
            raise ConfigError(f"There is no environment '{name}' in {folder}. {suggestion(name, known)}")


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Report as one message what libraries raise of YAML, ``${...}`` and values that do not fit."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except OmegaConfBaseException as error:
        # Where one of our resolvers says what is wrong, that is the message.
        if own := next((each for each in causes(error) if isinstance(each, ConfigError)), None):
            raise own from None
        # What follows the first line are names of OmegaConf's own.
        key = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{what} cannot be read: {key}{str(error).splitlines()[0]}.") from error
    except (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{what} cannot be read: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

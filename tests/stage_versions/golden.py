"""The results of small experiments as one flat table of hashes and numbers: two trees of the code compare by it.

``python golden.py PROJECT OUTPUT`` runs the experiment ``test`` with the code of a project's folder, computes every
feature and model preset on the same input, and writes the table as JSON. What tells how a session went (times, ids,
paths) is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

Table = dict[str, Any]

_PIPELINES = "train_all,robustness,explain"
_PARAMETERS = (
    "robustness.interventions=[identity,gain_down_12],"
    "explain.cell=demo.demo_official.log_mel_256.net1,explain.tracks=[house_005]"
)
# Names of what differs from session to session.
_VOLATILE = re.compile(
    r"(^|[._/ :])([a-z_]*(training|inference|fit|epoch)_s|inference_s_per_clip|seconds|seconds_left|mtime_ns|created"
    r"|git_commit|command|model_uri|[a-z_]*run_id|[a-z_]*fingerprint|checksums|before|after)$|^owner\."
)
# An MLflow run by what it is of, not by its id.
_RUNS = """
    SELECT r.run_uuid, r.name, r.status, p.value FROM runs r
    LEFT JOIN tags p ON p.run_uuid = r.run_uuid AND p.key = 'mlflow.parentRunId'
"""


class Measured(NamedTuple):
    """A hash or a number for each result, by name; and the lines that ran, by file relative to the package."""

    results: Table
    lines: dict[str, set[int]]


def measure(project: Path, *, trace: bool = False) -> Measured:
    """Run a project's code and return what came out.

    Args:
        project: Folder of the project, with ``src`` and ``conf``.
        trace: Whether to note which lines run, which takes twice as long.

    Raises:
        subprocess.CalledProcessError: If the code fails.
    """
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "PYTHONPATH": str(project / "src"), "GENRE_PIPELINE_DATA": data}
        environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        environment.pop("MLFLOW_TRACKING_URI", None)

        package = project / "src" / "genre_pipeline"
        traced = ("-m", "coverage", "run", "--parallel-mode", f"--data-file={data}/lines", f"--source={package}")

        def run(*arguments: str) -> str:
            command = [sys.executable, *(traced if trace else ()), *arguments]
            done = subprocess.run(command, cwd=project, env=environment, check=True, stdout=subprocess.PIPE, text=True)
            return done.stdout

        # Releases before experiments were files have it as an environment.
        chosen = "--experiment" if (project / "conf" / "base" / "experiments").is_dir() else "--env"
        kedro = ("-m", "kedro", "run", chosen, "test", "--pipelines")
        # Twice, because what was ingested before is read in another way.
        run(*kedro, "ingest")
        run(*kedro, _PIPELINES, "--params", _PARAMETERS)
        presets = json.loads(run(__file__, "presets"))
        return Measured({**dict(_results(Path(data))), **presets}, _lines(Path(data), package) if trace else {})


def _lines(data: Path, package: Path) -> dict[str, set[int]]:
    from coverage import CoverageData

    found: dict[str, set[int]] = {}
    for path in data.glob("lines.*"):
        part = CoverageData(str(path))
        part.read()
        for file in part.measured_files():
            found.setdefault(str(Path(file).relative_to(package)), set()).update(part.lines(file) or ())
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each result that differs between two tables."""
    return [
        f"{name}: {before.get(name, 'not there')} -> {after.get(name, 'not there')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _results(data: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(data.rglob("*")):
        # A version's folder is named after its session.
        name = re.sub(r"/\d{4}-\d\d-\d\dT[\d.]+Z/[^/]+$", "", path.relative_to(data).as_posix())
        if not path.is_file() or name.startswith(("mlflow/", "refresh/", "lines.")) or "/." in f"/{name}":
            continue
        if path.stem == "quality_and_cost":
            # Draws times.
            continue
        if path.suffix == ".parquet":
            yield from _columns(name, pd.read_parquet(path))
        elif path.suffix == ".csv":
            yield from _columns(name, pd.read_csv(path))
        elif path.suffix == ".json":
            yield from _leaves(name, json.loads(path.read_text(encoding="utf-8").replace(str(data), "DATA")))
        elif path.suffix == ".skops":
            # The predictions made with it are compared; the file names objects by where they lay in memory.
            yield name, "present"
        elif path.suffix in {".safetensors", ".bin", ".wav", ".flac", ".ogg"}:
            yield name, _hash(path.read_bytes())
        else:
            # Pages and pictures name times and paths: that they are there is compared, their figures are above.
            yield name, "present"
    yield from _tracked(data)


def _columns(name: str, table: pd.DataFrame) -> Iterator[tuple[str, Any]]:
    for column in table:
        if not _VOLATILE.search(str(column)):
            values = pd.util.hash_pandas_object(table[column].map(_plain), index=False).to_numpy()
            yield f"{name}:{column}", f"{table[column].dtype} {len(table)} {_hash(values.tobytes())}"


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, list | dict) or hasattr(value, "tolist") else value


def _leaves(name: str, value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Hash the values of a JSON object two levels deep: enough to say where it differs."""
    if _VOLATILE.search(key):
        return
    if isinstance(value, dict) and key.count(".") < 2:
        for part, each in value.items():
            yield from _leaves(name, each, f"{key}.{part}" if key else str(part))
    else:
        yield f"{name}:{key}", _hash(json.dumps(_steady(value), sort_keys=True).encode())


def _steady(value: Any) -> Any:
    """Return a JSON value without what differs from session to session."""
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if not _VOLATILE.search(str(key))}
    return [_steady(each) for each in value] if isinstance(value, list) else value


def _tracked(data: Path) -> Iterator[tuple[str, Any]]:
    """Yield what MLflow holds: the keys of every run, and the values that a session does not decide."""
    with sqlite3.connect(data / "mlflow" / "mlflow.db") as connection:
        runs = {run: (name, status, parent) for run, name, status, parent in connection.execute(_RUNS)}
        names = {run: str(name) for run, (name, *_) in runs.items()}
        for run, (_, status, parent) in runs.items():
            # The session's run is named after its pipelines in any order, and its tags say where it ran.
            path = "mlflow/session" if parent is None else f"mlflow/{names[run]}"
            yield f"{path}:status", status
            for table, value in (("latest_metrics", "value"), ("params", "value"), ("tags", "value")):
                found = connection.execute(f"SELECT key, {value} FROM {table} WHERE run_uuid = ?", (run,))
                # The tag with the experiment's name has had another name.
                kept = {
                    key: each
                    for key, each in found
                    if not key.startswith(("mlflow.", "system/")) and key not in {"experiment", "environment"}
                }
                yield f"{path}:{table}", sorted(kept)
                if (parent, table) == (None, "tags"):
                    continue
                steady = {key: each for key, each in kept.items() if not _VOLATILE.search(key)}
                text = json.dumps(steady, sort_keys=True).replace(str(data), "DATA")
                yield f"{path}:{table} values", _hash(text.encode())


def _presets() -> Table:
    """Compute every feature preset of a sound, and what each family of models says."""
    import numpy as np
    import yaml

    from genre_pipeline.experiment import parse_feature
    from genre_pipeline.features import FEATURES
    from genre_pipeline.models import MODELS
    from genre_pipeline.training import parse_model

    found: Table = {}
    parameters = Path("conf/base/parameters")
    sound = np.random.default_rng(0).standard_normal(22_050 * 4).astype(np.float32) / 9
    training = yaml.safe_load((parameters / "training.yml").read_text(encoding="utf-8"))["training"]
    for path in sorted((parameters / "features").glob("*.yml")):
        for name, values in yaml.safe_load(path.read_text(encoding="utf-8"))["features"].items():
            block = parse_feature(name, values)
            spec = FEATURES[block.kind]
            if spec.load is None:
                found[f"presets/features/{name}"] = _hash(spec.extract(sound, block).tobytes())
    families: set[str] = set()
    for path in sorted((parameters / "models").glob("*.yml")):
        for name, values in yaml.safe_load(path.read_text(encoding="utf-8"))["models"].items():
            model = parse_model(name, values, training)
            if model.family not in families:
                families.add(model.family)
                found[f"presets/models/{name}"] = _hash(_scores(MODELS[model.family], model.architecture))
    return found


def _scores(spec: Any, architecture: Any) -> bytes:
    """Return what a model says of 12 segments: a network as it is initialised, an estimator once it is fitted."""
    import numpy as np
    import torch

    from genre_pipeline.models import InputShape, NetworkSpec

    # The network of musicnn takes no other number of bands.
    n_bins = 96 if spec.name == "musicnn" else 128
    segments = np.random.default_rng(0).standard_normal((12, n_bins, 128)).astype(np.float32)
    if isinstance(spec, NetworkSpec):
        torch.manual_seed(0)
        network = spec.build(architecture, InputShape(n_bins=n_bins, n_frames=128), 3).eval()
        with torch.inference_mode():
            return bytes(network(torch.from_numpy(segments)).numpy().tobytes())
    vectors, targets = spec.summarise(segments), np.arange(12) % 3
    if hasattr(spec, "fit"):
        from genre_pipeline.models import TrainingColumns

        fitted = spec.fit(architecture, TrainingColumns(vectors, targets), 0)
    else:
        # Code of earlier releases.
        fitted = spec.build(architecture, targets, 0).fit(vectors, targets)
    return bytes(fitted.predict_proba(vectors).tobytes())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    if sys.argv[1:] == ["presets"]:
        sys.stdout.write(json.dumps(_presets()))
    else:
        project, output = map(Path, sys.argv[1:])
        output.write_text(json.dumps(measure(project.resolve()).results, indent=1), encoding="utf-8")

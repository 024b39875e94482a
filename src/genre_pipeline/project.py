"""Where the project is, where its data lives, and which MLflow server it talks to."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

# Chooses the experiment where there is no option for it.
EXPERIMENT_VARIABLE = "GENRE_PIPELINE_EXPERIMENT"
DEFAULT_EXPERIMENT = "demo"


def _find_project() -> Path:
    source = Path(__file__).resolve().parents[2]
    if (source / "pyproject.toml").exists():
        return source
    # In an installed package there is no source tree: the project is then where the command is run, or above.
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "conf" / "base").is_dir()), here)


PROJECT_ROOT = _find_project()


def data_root() -> str:
    """Return the folder of music and results: ``GENRE_PIPELINE_DATA``, or ``data/`` in the project."""
    return str(Path(os.environ.get("GENRE_PIPELINE_DATA") or PROJECT_ROOT / "data").absolute())


def tracking_uri() -> str:
    """Return the MLflow server: ``MLFLOW_TRACKING_URI``, or a SQLite file in the data folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_uri(Path(data_root(), "mlflow", "mlflow.db"))


def artifact_location() -> str | None:
    """Return where a new MLflow experiment keeps its artifacts; a server decides for itself."""
    return None if os.environ.get("MLFLOW_TRACKING_URI") else Path(data_root(), "mlflow", "artifacts").as_uri()


def sqlite_uri(path: Path) -> str:
    """Return the address of a SQLite database, as SQLAlchemy reads it, whatever its folders are called.

    Args:
        path: The file, absolute.

    Example:
        >>> sqlite_uri(Path("/my music/runs.db"))
        'sqlite:////my music/runs.db'
    """
    # What begins a query, a fragment, and an escape sequence.
    quoted = re.sub(r"[?#%]", lambda sign: quote(sign[0]), str(path))
    if quoted == str(path):
        return f"sqlite:///{path}"
    from sqlalchemy import make_url

    # With the driver's name: below the other, MLflow makes the folder that the escaped name says.
    plain = f"sqlite+pysqlite:///{quoted}"
    # SQLAlchemy 2.0 takes it as it is; there SQLite itself reads an escaped name.
    return plain if make_url(plain).database == str(path) else f"sqlite+pysqlite:///file:{quote(str(path))}?uri=true"


def sqlite_path(uri: str) -> Path | None:
    """Return the file of a SQLite database; None for the address of anything else.

    Args:
        uri: The address, as :func:`sqlite_uri` makes it or as a person gives it.

    Example:
        >>> sqlite_path("sqlite:////music/runs.db")
        PosixPath('/music/runs.db')
        >>> sqlite_path("http://mlflow.example:5000")
    """
    if not uri.startswith(("sqlite:///", "sqlite+pysqlite:///")):
        return None
    database = uri.partition(":///")[2].partition("?")[0]
    if "%" in uri:
        # Whether it reads escape sequences depends on its version.
        from sqlalchemy import make_url

        database = make_url(uri).database or ""
    return Path(unquote(urlsplit(database).path) if database.startswith("file:") else database)


def check_output(path: Path) -> Path:
    """Check a folder that a parameter names to be written to: in the data folder, or an absolute path to another disk.

    Args:
        path: The folder.

    Returns:
        The same, absolute.

    Raises:
        ValueError: If it leads out of the data folder, and is not said to be elsewhere.
    """
    # Not resolved: a data folder may be reached, or spread over disks, by links.
    place = Path(os.path.abspath(path))  # noqa: PTH100
    if (path.is_absolute() and ".." not in path.parts) or is_in_data(place):
        return place
    raise ValueError(
        f"'{path}' leads out of the data folder {data_root()}, to {place}. For another disk give an absolute path "
        "without '..'"
    )


def is_in_data(path: Path) -> bool:
    """Whether a path lies in the data folder."""
    return path.is_relative_to(data_root())


def git_commit() -> str:
    """Return the commit of the project's source, with ``-dirty`` where it was changed since, or ``unknown``."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(PROJECT_ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()  # noqa: S603


def environment_variable(name: str, default: str = "") -> str:
    """Return an environment variable, or the default where it is unset or empty."""
    return os.environ.get(name) or default

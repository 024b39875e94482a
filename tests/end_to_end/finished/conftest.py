"""An experiment that was run, and run again: the tests of this folder share both, in one process."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

from kedro_sessions import copy_database, forget_sessions, run, sessions_of, settle


@dataclass(frozen=True)
class Finished:
    """A data folder after a session, with the session's run and the time each file was written."""

    data: Path
    session: mlflow.entities.Run
    written: dict[str, int]

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(f"sqlite:///{self.data}/mlflow/mlflow.db")

    def files(self) -> dict[str, int]:
        """Return the time each file was written, as things are now."""
        return _written(self.data)

    def newest(self, entry: str) -> Path:
        """Return the version of a catalog entry's file that was the newest after the session."""
        path = self.data / entry
        if not path.is_dir():
            return path
        return max(each for each in path.glob(f"*/{path.name}") if str(each.relative_to(self.data)) in self.written)


def _written(data: Path) -> dict[str, int]:
    return {
        str(path.relative_to(data)): path.stat().st_mtime_ns
        for path in sorted(data.rglob("*"))
        if path.is_file() and "mlflow" not in path.relative_to(data).parts
    }


def _train_all(data: Path, *, fresh: bool = False) -> Finished:
    run("train_all", fresh=fresh)
    session = sessions_of(mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db"))[-1]
    forget_sessions()
    return Finished(data, session, _written(data))


@pytest.fixture(scope="session")
def finished(tmp_path_factory, database, _quiet_threads):
    """``train_all`` of the environment ``test`` in an empty folder."""
    folder = tmp_path_factory.mktemp("project")
    data = folder / "data"
    copy_database(database, data)
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, data, folder)
        done = _train_all(data)
    # As it is now: others run again in the folder.
    shutil.copytree(data, folder / "kept", ignore=shutil.ignore_patterns("mlflow"))
    return done


@pytest.fixture(scope="session")
def repeated(finished):
    """The same once more, although all is up to date."""
    with pytest.MonkeyPatch.context() as patch:
        settle(patch, finished.data, finished.data.parent)
        return _train_all(finished.data, fresh=True)


@pytest.fixture
def finished_copy(finished, data):
    """A copy of the finished data folder, which a test may spoil."""
    shutil.copytree(finished.data.with_name("kept"), data, dirs_exist_ok=True)
    return data

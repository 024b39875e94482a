import re
import subprocess

import pytest
import sqlalchemy
from mlflow.store.db.utils import create_sqlalchemy_engine_with_retry

from genre_pipeline import project


def test_the_environment_moves_the_data(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path))
    assert project.data_root() == str(tmp_path)
    assert project.tracking_uri() == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert project.artifact_location() == (tmp_path / "mlflow" / "artifacts").as_uri()


@pytest.mark.parametrize(
    "name", ["q?", "a#b", "50%", "%3F", "my music", "Bücher", "it's", 'say "x"', "a;b", "a&b=c", "[x]", "a+b", "a@b:c"]
)
def test_the_database_is_in_the_data_folder_whatever_that_is_called(monkeypatch, tmp_path, name):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(tmp_path / name))
    path = tmp_path / name / "mlflow" / "mlflow.db"
    path.parent.mkdir(parents=True)
    uri = project.tracking_uri()
    assert project.sqlite_path(uri) == path
    # As MLflow does, which makes the folder of a database that it is given.
    engine = create_sqlalchemy_engine_with_retry(uri)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE runs (name TEXT)"))
    engine.dispose()
    assert path.stat().st_size > 0
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_without_it_the_data_is_in_the_project(monkeypatch):
    monkeypatch.delenv("GENRE_PIPELINE_DATA", raising=False)
    assert project.data_root() == str(project.PROJECT_ROOT / "data")


def test_a_server_is_honoured_and_keeps_its_own_artifacts(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert project.tracking_uri() == "http://mlflow.example:5000"
    assert project.artifact_location() is None


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("GENRE_PIPELINE_TEST", "")
    assert project.environment_variable("GENRE_PIPELINE_TEST", "fallback") == "fallback"
    monkeypatch.setenv("GENRE_PIPELINE_TEST", "set")
    assert project.environment_variable("GENRE_PIPELINE_TEST", "fallback") == "set"


def git(folder, *arguments):
    identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_says_whether_the_source_was_changed_since(monkeypatch, tmp_path):
    monkeypatch.setattr(project, "PROJECT_ROOT", tmp_path)
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("1")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "one")
    assert re.fullmatch(r"[0-9a-f]{40}", project.git_commit())
    (tmp_path / "a.py").write_text("2")
    assert re.fullmatch(r"[0-9a-f]{40}-dirty", project.git_commit())


@pytest.mark.parametrize("error", [FileNotFoundError("no git"), subprocess.CalledProcessError(128, "git")])
def test_without_git_the_commit_is_unknown(monkeypatch, error):
    def refuse(*arguments, **options):
        raise error

    monkeypatch.setattr("subprocess.run", refuse)
    assert project.git_commit() == "unknown"

"""The notebooks run from top to bottom on a finished experiment, and are committed without what came out."""

import nbformat
import pytest
from nbclient import NotebookClient

from genre_pipeline.project import PROJECT_ROOT

NOTEBOOKS = sorted((PROJECT_ROOT / "notebooks").glob("*.ipynb"))


def test_they_are_there():
    assert [path.name[:3] for path in NOTEBOOKS] == ["01_", "02_", "03_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_committed(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), f"{path.name}: run nbstripout on it"


@pytest.fixture
def execute(repeated, monkeypatch, tmp_path):
    """A function that runs a notebook as a person would, and returns what it shows, by kind."""
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(repeated.data))
    monkeypatch.setenv("GENRE_PIPELINE_EXPERIMENT", "test")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))

    def run_notebook(number):
        notebook = nbformat.read(NOTEBOOKS[number - 1], as_version=4)
        resources = {"metadata": {"path": str(PROJECT_ROOT / "notebooks")}}
        NotebookClient(notebook, timeout=None, resources=resources).execute()
        shown = {}
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                for kind, content in output.get("data", {output.get("name"): output.get("text")}).items():
                    shown.setdefault(kind, []).append(content)
        return {kind: "\n".join(map(str, contents)) for kind, contents in shown.items()}

    return run_notebook


def test_a_dataset_is_explored(execute):
    shown = execute(1)
    assert "demo: 21 tracks" in shown["stdout"]
    assert "duplicate_file" in shown["text/html"]
    assert shown["text/html"].count("<audio") == 3
    assert "image/png" in shown


def test_models_are_compared(execute):
    shown = execute(2)
    for name in ("naive_bayes", "crnn_gru_small", "p_holm", "unchanged"):
        assert name in shown["text/html"]
    assert "application/vnd.plotly.v1+json" in shown
    assert "image/png" in shown


def test_errors_are_listened_to(execute):
    shown = execute(3)
    assert "taken for" in shown["stdout"]
    assert shown["text/html"].count("<audio") == shown["stdout"].count("taken for")
    assert "image/png" in shown

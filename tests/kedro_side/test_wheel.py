"""What ``kedro package`` builds runs where it is installed, with no source tree beside it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv

import pytest

from genre_pipeline.project import PROJECT_ROOT

# The demo, as small as it can be split.
PARAMETERS = "datasets.demo.n_clips_per_genre=3"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment in which the wheel is installed, and this environment's other packages."""
    source, dist, place = (tmp_path_factory.mktemp(name) for name in ("source", "dist", "environment"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT_ROOT / name, source)
    shutil.copytree(PROJECT_ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    venv.create(place)
    python = place / "bin" / "python"
    site = sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)})
    # Its .pth files are not read there, and so not the one that leads to this source tree.
    (place / site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # The other environment's copy would count as installed.
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--ignore-installed")
    install = ["install", *options, *map(str, dist.glob("*.whl"))]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    return python


@pytest.fixture
def run(python, tmp_path):
    """A function that runs ``python`` in an empty folder."""

    def started(*arguments):
        outside = ("PYTHONPATH", "GENRE_PIPELINE_DATA", "VIRTUAL_ENV")
        env = {name: value for name, value in os.environ.items() if name not in outside}
        return subprocess.run([python, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return started


def test_it_is_the_wheel_that_runs(run, python):
    imported = run("-c", "import genre_pipeline.project as p; print(p.__file__); print(p.PROJECT_ROOT)")
    file, root = imported.stdout.splitlines()
    assert file.startswith(str(python.parents[1]))
    assert not root.startswith(str(PROJECT_ROOT))


def test_it_runs_a_pipeline_with_the_configuration_that_is_there(run, tmp_path):
    shutil.copytree(PROJECT_ROOT / "conf", tmp_path / "conf")
    done = run("-m", "genre_pipeline", "run", "--experiment", "test", "--pipelines", "ingest", "--params", PARAMETERS)
    assert done.returncode == 0, done.stderr
    assert list((tmp_path / "data" / "02_intermediate" / "demo" / "tracks.parquet").glob("*/tracks.parquet"))
    assert list((tmp_path / "data" / "08_reporting").rglob("*.html"))


def test_without_a_configuration_it_says_where_it_looked(run, tmp_path):
    done = run("-m", "genre_pipeline", "leaderboard")
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith(f"Error: There is no configuration at {tmp_path}/conf.")
    assert "Traceback" not in done.stderr

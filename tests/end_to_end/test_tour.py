"""The tour works as it is written: a shell runs its commands in a copy of the project, in an empty home."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genre_pipeline.project import PROJECT_ROOT

# As its entry point does, also where the package was installed before it had one.
_SCRIPT = 'genre-pipeline() { python -m genre_pipeline "$@"; }\n'
TOUR = (PROJECT_ROOT / "docs" / "tour.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project; its parent folder is the reader's home."""
    folder = tmp_path_factory.mktemp("home") / "project"
    for name in ("src", "conf", "docs"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("local", "*.png"))
    (folder / "conf" / "local").mkdir()
    shutil.copy(PROJECT_ROOT / "pyproject.toml", folder)
    return folder


def shell(project, script):
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("GENRE_PIPELINE", "KEDRO_ENV"))
    }
    own = {
        "HOME": str(project.parent),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(project / "src"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euc", _SCRIPT + script],
        cwd=project,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_tour_leads_from_a_folder_to_a_refreshed_model(project):
    blocks = re.findall(r"^```sh\n(.*?)^```", TOUR, re.MULTILINE | re.DOTALL)
    printed = "".join(
        shell(project, block.replace("--minutes 1 ", "--minutes 0.1 "))
        for block in blocks
        if not block.startswith("make setup")
    )
    assert "15 tracks, 3 genres; artists per genre: " in printed
    assert "Protocol artist_kfold with 5 folds" in printed
    results = project / "data" / "08_reporting" / "by_genre"
    assert str(results.relative_to(project) / "report.html") in printed
    assert (results / "model_cards" / "by_genre.html").is_file()
    assert "Nothing is stale" in printed
    assert re.search(r"artist_1_track_1\.flac +(not sure|\w+) +\d", printed)
    assert len(list(project.parent.glob("music/by_genre/*/*.flac"))) == 30


def test_every_picture_of_the_tour_is_there():
    names = re.findall(r"images/(\w+\.png)", TOUR)
    assert len(names) == 6
    assert all((PROJECT_ROOT / "docs" / "images" / name).is_file() for name in names)


def test_the_tour_works_with_real_music(project):
    """Without tags, whose artists are unknown."""
    real = os.environ.get("GENRE_PIPELINE_REAL_DATA")
    if not real:
        pytest.skip("GENRE_PIPELINE_REAL_DATA does not name a folder with the real music")
    music = project.parent / "music" / "real"
    for genre in sorted(path for path in Path(real, "gtzan6", "genres").iterdir() if path.is_dir())[:2]:
        (music / genre.name).mkdir(parents=True)
        for file in sorted(path for path in genre.iterdir() if path.suffix == ".ogg")[:10:2]:
            shutil.copy(file, music / genre.name)
    printed = shell(project, "genre-pipeline train ~/music/real --minutes 0 --yes")
    assert "10 tracks, 2 genres; tracks per genre: " in printed
    assert "artists unknown" in printed
    assert "report.html" in printed

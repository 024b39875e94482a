"""The examples for cron and systemd in docs/schedules.md run a refresh, wherever they are started."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genre_pipeline.project import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "schedules.md").read_text(encoding="utf-8")


@pytest.fixture
def examples(tmp_path):
    """The blocks of the page, with the test's paths; the refreshes only say what is stale."""
    kedro = f"{sys.executable} -m kedro"
    page = PAGE.replace("/path/to/project/.venv/bin/kedro", kedro).replace(".venv/bin/kedro", kedro)
    page = page.replace("/path/to/project", str(PROJECT_ROOT)).replace("/path/to", str(tmp_path))
    page = page.replace("--experiment gtzan", "--experiment test --dry-run")
    return re.findall(r"```(?:crontab|ini)\n(.*?)```", page, re.DOTALL)


def test_the_crontab_line_runs(examples, tmp_path):
    """With sh and next to no environment, as cron runs it."""
    command = examples[0].split(None, 5)[5]
    bare = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"}
    environment = {**bare, "GENRE_PIPELINE_DATA": str(tmp_path / "data")}
    subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, check=True)
    assert "demo.ingest" in (tmp_path / "refresh.log").read_text()


def test_the_service_runs_the_same(examples, tmp_path):
    service = dict(line.split("=", 1) for line in examples[1].splitlines() if "=" in line)
    command = f"cd {service['WorkingDirectory']} && {service['ExecStart']}"
    assert examples[0].split(None, 5)[5] == f"{command} >> {tmp_path}/refresh.log 2>&1\n"


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd is not installed")
def test_systemd_accepts_the_units(examples, tmp_path):
    units = [tmp_path / f"genre-pipeline-refresh.{kind}" for kind in ("service", "timer")]
    for path, text in zip(units, examples[1:], strict=True):
        path.write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, units)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert done.returncode == 0, done.stderr

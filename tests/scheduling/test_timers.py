"""What is generated for cron and systemd runs the refresh that was asked for, wherever it is started."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from genre_pipeline.cli import cli
from genre_pipeline.ops.scheduling import Project, crontab, systemd_units


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder whose name has all that shells, cron and systemd read otherwise."""
    folder = tmp_path / 'my 100% $HOME "music"'
    monkeypatch.setenv("GENRE_PIPELINE_DATA", str(folder))
    for name in ("MLFLOW_TRACKING_URI", "KEDRO_ENV", "GENRE_PIPELINE_EXPERIMENT"):
        monkeypatch.delenv(name, raising=False)
    return folder


def generate(*arguments):
    result = CliRunner().invoke(cli, ["schedule", "--experiment", "test", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def run_as_cron(line, folder):
    """Run a crontab line as cron does: with sh, next to no environment, and a backslash before each per cent."""
    command = line.split(None, 5)[5].replace(r"\%", "%")
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"}
    return subprocess.run(["/bin/sh", "-c", command], cwd="/", env=environment, check=True)


def read_unit(text):
    """Read a unit's settings; of those that may be repeated, all values."""
    settings = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def words(value):
    """Split a line as systemd does, whose quoting with double quotes is a shell's, and undo its other escapes."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(value)]


def test_the_crontab_line_says_what_is_stale(data, tmp_path):
    text = generate("--format", "cron", "--every", "hourly", "--", "--dry-run")
    (line,) = [each for each in text.splitlines() if each and not each.startswith("#")]
    assert line.startswith("0 * * * * cd ")
    run_as_cron(line, tmp_path)
    assert "demo.ingest" in (data / "scheduled_refreshes.log").read_text()


def test_the_service_says_what_is_stale(data, tmp_path):
    folder = tmp_path / "units"
    assert "Written: " in generate("--format", "systemd", "--output", str(folder), "--", "--dry-run")
    unit = read_unit((folder / "genre-pipeline-refresh.service").read_text())
    environment = dict(words(each)[0].split("=", 1) for each in unit["Environment"])
    assert environment["GENRE_PIPELINE_DATA"] == str(data)
    (command,) = unit["ExecStart"]
    (root,) = unit["WorkingDirectory"]
    done = subprocess.run(
        words(command),
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1", **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "demo.ingest" in done.stdout
    timer = read_unit((folder / "genre-pipeline-refresh.timer").read_text())
    assert timer["OnCalendar"] == ["*-*-* 03:30:00"]
    assert timer["WantedBy"] == ["timers.target"]


PROJECT = Project(
    *(Path("/a b/100%"), Path("/p/python"), Path("/l o/g%")),
    *("cluster", "gtzan6", "a=[b,c]"),
    {"DATA": '/d "$x" %s'},
)


def test_cron_reads_no_per_cent_of_ours_and_a_shell_no_dollar():
    (text,) = crontab(PROJECT, every="weekly").values()
    line = text.splitlines()[-1]
    assert line.startswith("30 3 * * 1 cd '/a b/100\\%' && DATA='/d \"$x\" \\%s' /p/python -m kedro refresh ")
    assert line.endswith("--env cluster --experiment gtzan6 --params 'a=[b,c]' >> '/l o/g\\%' 2>&1")


def test_systemd_reads_no_specifier_and_no_variable_of_ours():
    unit = read_unit(systemd_units(PROJECT, every="hourly")["genre-pipeline-refresh.service"])
    assert unit["Environment"] == [r'"DATA=/d \"$$x\" %%s"']
    assert unit["WorkingDirectory"] == ["/a b/100%%"]
    options = ["--env", "cluster", "--experiment", "gtzan6", "--params", "a=[b,c]"]
    assert words(unit["ExecStart"][0])[1:] == ["-m", "kedro", "refresh", *options]


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="systemd is not installed")
def test_systemd_accepts_the_units(data, tmp_path):
    folder = tmp_path / "units"
    generate("--format", "systemd", "--output", str(folder))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *map(str, sorted(folder.iterdir()))],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert done.returncode == 0, done.stderr

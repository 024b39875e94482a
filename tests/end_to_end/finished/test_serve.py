"""``genre-pipeline serve`` with an experiment that was trained."""

import json
import multiprocessing
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from genre_pipeline import load_model
from genre_pipeline.cli import cli


def test_a_song_is_classified_as_by_the_command_and_the_service_ends_cleanly(finished_copy, tmp_path):
    song = sorted((finished_copy / "01_raw/demo/house").glob("*.wav"))[0]
    program = str(Path(sys.executable).with_name("genre-pipeline"))
    command = [program, "serve", "--experiment", "test", "--port", "0", "--workers", "1"]
    log = tmp_path / "log"
    with log.open("w") as err, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process:
        try:
            url = process.stdout.readline().split()[0]
            listed = requests.get(f"{url}/models", timeout=60).json()["models"]
            with song.open("rb") as file:
                answered = requests.post(f"{url}/predict", files={"files": ("a.wav", file)}, timeout=120).json()
            with song.open("rb") as file:
                described = requests.post(f"{url}/describe", files={"files": ("a.wav", file)}, timeout=120).json()
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    model = load_model("test")
    assert (listed[0]["name"], listed[0]["is_champion"]) == (model.cell, True)
    assert len({each["name"] for each in listed}) == len(listed) == 7
    row = model.classify([song]).iloc[0]
    (answer,) = answered["files"][0]["answers"]
    assert (answer["genre"], answer["sure"]) == (row["genre"], row["sure"])
    for genre in model.genres:
        assert answer["probabilities"][genre] == pytest.approx(row[f"p_{genre}"], abs=1e-6)
    # The song is a labelled track itself.
    assert (described["nearest"][0]["name"], described["nearest"][0]["genre"]) == (song.stem, "house")
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    routes = [json.loads(line)["route"] for line in lines if json.loads(line)["message"] == "request"]
    assert routes == ["/models", "/predict", "/describe"]


@pytest.mark.parametrize(
    ("options", "token", "message"),
    [
        (["--host", "0.0.0.0"], None, "other machines can reach it, and no token is set"),
        (["--host", "0.0.0.0"], "short", "GENRE_PIPELINE_TOKEN: expected 16 ASCII characters or more"),
        (["--experiment", "test", "--host", "192.0.2.1"], "0123456789abcdef", "192.0.2.1:8000 cannot be listened at"),
        (["--experiment", "demo", "--port", "0"], None, "The experiment demo has no model for use"),
        (["--max-files", "0"], None, "serve.max_files"),
        (["--check-every", "nan"], None, "expected a finite number, got nan"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(finished_copy, monkeypatch, options, token, message):
    monkeypatch.delenv("GENRE_PIPELINE_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("GENRE_PIPELINE_TOKEN", token)
    result = CliRunner().invoke(cli, ["serve", *options])
    assert result.exit_code in {1, 2}
    assert "Error: " in result.stderr
    assert message in result.stderr


def test_a_port_in_use_is_said_in_a_line(finished_copy):
    # Other tests of this process may have workers of their own.
    before = set(multiprocessing.active_children())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = CliRunner().invoke(cli, ["serve", "--experiment", "test", "--port", port])
    assert f"127.0.0.1:{port} cannot be listened at (Address already in use)" in result.stderr
    # The program would wait for them when it ends.
    assert not set(multiprocessing.active_children()) - before

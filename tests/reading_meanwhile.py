"""Reads what an experiment left, again and again as people and services do, until standard input ends.

    python reading_meanwhile.py <data folder> <registered model> <audio file>

Prints a line when it has read everything once, and at the end, as JSON, how often that was and what went wrong.
"""

import json
import select
import sys
import traceback
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from kedro_sessions import OWN_MUSIC, new_session, sessions_of

CELL = "my_music.artist_kfold.mfcc_20.naive_bayes"


def read_everything(data: Path, model: str, audio: Path) -> None:
    """Open the results as a notebook does, the report as a browser, the runs as MLflow's pages, and predict a genre."""
    catalog = new_session(**OWN_MUSIC).load_context().catalog
    assert catalog.load(f"{CELL}.results")["cell"]["model"] == "naive_bayes"
    assert len(catalog.load("my_music.tracks")) >= 8
    assert len(catalog.load("leaderboard")) == 1
    assert (data / "08_reporting/own/report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")
    client = mlflow.MlflowClient(f"sqlite:///{data}/mlflow/mlflow.db")
    assert sessions_of(client)
    mlflow.set_tracking_uri(f"sqlite:///{data}/mlflow/mlflow.db")
    champion: Any = mlflow.pyfunc.load_model(f"models:/{model}@champion")
    assert len(champion.predict(pd.DataFrame({"path": [str(audio)]}))) == 1


def main(data: Path, model: str, audio: Path) -> None:
    n_readings, failures = 0, []
    while not select.select([sys.stdin], [], [], 0)[0]:
        try:
            read_everything(data, model, audio)
        except Exception:
            failures.append(traceback.format_exc())
        n_readings += 1
        if n_readings == 1:
            sys.stdout.write("read once\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps({"n_readings": n_readings, "failures": failures}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

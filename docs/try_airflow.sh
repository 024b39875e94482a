#!/usr/bin/env bash
# Tries the DAGs of `kedro airflow-dags` in a real Airflow: starts `airflow standalone` on this machine's loopback address,
# adds a track to a dataset, waits until the run that this triggers has succeeded, and stops Airflow.
#
#     source .venv/bin/activate && docs/try_airflow.sh
#
# Airflow is installed into an environment of its own, AIRFLOW_VENV, if it is not there. It takes some minutes, and never
# longer than LIMIT_S.
set -euo pipefail
cd "$(dirname "$0")/.."

LIMIT_S="${LIMIT_S:-1500}"
export AIRFLOW_VENV="${AIRFLOW_VENV:-${TMPDIR:-/tmp}/genre_pipeline_airflow}"

say() { echo "[$(date +%T)] $*"; }

if [ ! -x "$AIRFLOW_VENV/bin/airflow" ]; then
    say "Installing Airflow into $AIRFLOW_VENV."
    python3 -m venv "$AIRFLOW_VENV"
    "$AIRFLOW_VENV/bin/pip" install --quiet "$(python - <<'PYTHON'
import re
from pathlib import Path

print(re.search(r'"(apache-airflow[^"]*)"', Path("pyproject.toml").read_text()).group(1))
PYTHON
)"
fi
# Airflow's log servers listen on every address of the machine: a network of its own has the loopback alone. Whatever is
# started in process numbers of its own ends with this script.
if [ -z "${ALONE:-}" ]; then
    alone=(unshare --map-root-user --net --pid --fork --kill-child --mount-proc)
    "${alone[@]}" true || { say "This machine allows no namespaces of one's own (unshare)."; exit 1; }
    ALONE=1 exec "${alone[@]}" "$0" "$@"
fi
ip link set lo up

WORK="$(mktemp -d)"
PORT=8080
DAG=genre_pipeline_own
PARAMS="experiment.datasets=[my_music],experiment.models=[naive_bayes]"

export GENRE_PIPELINE_DATA="$WORK/data" AIRFLOW_HOME="$WORK/home"
export DO_NOT_TRACK=1 KEDRO_DISABLE_TELEMETRY=1 MLFLOW_DISABLE_TELEMETRY=true OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
export AIRFLOW__CORE__DAGS_FOLDER="$WORK/dags" AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True
export AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT="$PORT" AIRFLOW__API__WORKERS=1
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL="http://127.0.0.1:$PORT/execution/"
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False

api() { # METHOD PATH [JSON]
    local token
    token="$(curl -sf "http://127.0.0.1:$PORT/auth/token" | python -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')"
    curl -sf -X "$1" -H "Authorization: Bearer $token" -H "Content-Type: application/json" ${3:+-d "$3"} \
        "http://127.0.0.1:$PORT/api/v2/$2"
}

stop() {
    if [ -n "${standalone:-}" ]; then
        say "Stopping Airflow."
        kill -TERM -- "-$standalone" 2>/dev/null || true
        wait "$standalone" 2>/dev/null || true
    fi
    [ "${KEEP:-}" ] && say "Kept: $WORK" || rm -rf "$WORK"
}
trap stop EXIT

write_clip() { # FILE SEED: three seconds of noise
    python - "$1" "$2" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import soundfile

path = Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
soundfile.write(path, 0.1 * np.random.default_rng(int(sys.argv[2])).standard_normal(int(3.2 * 22050)), 22050)
PYTHON
}

states() { # DAG: of each of its runs the state, and what started it; the oldest first
    api GET "dags/$1/dagRuns?order_by=run_after" | python -c '
import json, sys

for run in json.load(sys.stdin)["dag_runs"]:
    print(run["state"], run["run_type"])'
}

task_states() { # DAG: those of its last run
    api GET "dags/$1/dagRuns/~/taskInstances?order_by=start_date&limit=500" | python -c '
import json, sys

tasks = json.load(sys.stdin)["task_instances"]
last = max(tasks, key=lambda task: task["run_after"])["dag_run_id"]
for task in tasks:
    if task["dag_run_id"] == last:
        print("  {:<8} {:6.1f} s  {}".format(str(task["state"]), task["duration"] or 0, task["task_id"]))'
}

wait_for() { # WHAT COMMAND...: until the command succeeds
    local what="$1"
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$LIMIT_S" ] || { say "Gave up after $SECONDS s, waiting for $what."; tail -50 "$WORK/airflow.log"; exit 1; }
        kill -0 "$standalone" 2>/dev/null || { say "Airflow ended by itself:"; tail -50 "$WORK/airflow.log"; exit 1; }
        sleep 5
    done
    say "$what"
}

answers() { curl -sf "http://127.0.0.1:$PORT/api/v2/monitor/health" >/dev/null; }
knows_dags() { api GET "dags/$DAG" >/dev/null; }
runs_ended() { # DAG N: it has N runs, all ended
    local all
    all="$(states "$1")"
    [ "$(grep -c . <<<"$all")" -eq "$2" ] && ! grep -qE '^(queued|running)' <<<"$all"
}
all_succeeded() { # DAG
    if states "$1" | grep -qv '^success'; then
        say "$1: not every run succeeded:"; states "$1"
        find "$AIRFLOW_HOME/logs" -name '*.log' -path "*$1*" -exec tail -n 40 {} +
        exit 1
    fi
}

say "Airflow $("$AIRFLOW_VENV/bin/pip" list 2>/dev/null | awk '$1 == "apache-airflow" {print $2}'), $("$AIRFLOW_VENV/bin/python" -V)"

seed=0
for genre in jazz rock; do
    for track in 0 1 2 3; do write_clip "$GENRE_PIPELINE_DATA/01_raw/my_music/$genre/$track.wav" $((seed++)); done
done
kedro airflow-dags --experiment own --params "$PARAMS" --output "$AIRFLOW__CORE__DAGS_FOLDER"

set -m # a process group of its own, so that all of it can be stopped
PATH="$AIRFLOW_VENV/bin:$PATH" "$AIRFLOW_VENV/bin/airflow" standalone >"$WORK/airflow.log" 2>&1 &
standalone=$!
set +m
wait_for "Airflow answers." answers
wait_for "Airflow has read the DAGs." knows_dags
for dag in "${DAG}_datasets" "$DAG"; do api PATCH "dags/$dag" '{"is_paused": false}' >/dev/null; done

look() { api POST "dags/${DAG}_datasets/dagRuns" '{"logical_date": null}' >/dev/null; }
look
wait_for "Looked at a new dataset: ${DAG}_datasets has run." runs_ended "${DAG}_datasets" 1
wait_for "The update of the asset triggered $DAG, which ended." runs_ended "$DAG" 1
all_succeeded "$DAG"

look
wait_for "Looked again, nothing was changed." runs_ended "${DAG}_datasets" 2
write_clip "$GENRE_PIPELINE_DATA/01_raw/my_music/jazz/new.wav" 1000
say "Added a track to the dataset."
look
wait_for "Looked a third time." runs_ended "${DAG}_datasets" 3
wait_for "The second update triggered $DAG, which ended." runs_ended "$DAG" 2
all_succeeded "$DAG"
all_succeeded "${DAG}_datasets"

say "Runs of $DAG:"
states "$DAG"
say "Tasks of its last run:"
task_states "$DAG"
growth="$(python -c '
import json, sys
from pathlib import Path

audits = sorted(Path(sys.argv[1]).glob("03_primary/my_music/artist_kfold/audit.json/*/audit.json"))
growth = json.loads(audits[-1].read_text())["growth"]
print(growth["n_kept"], growth["added"]["track_ids"])' "$GENRE_PIPELINE_DATA")"
say "Tracks kept on their side, and added: $growth"
say "All runs succeeded, in $SECONDS s."

"""Who reads while a refresh is under way finds the last results whole, and then the new ones."""

import json
import subprocess
import sys
from pathlib import Path

from genre_pipeline.runner import StaleRunner
from kedro_sessions import OWN_MUSIC, forget_sessions, new_session, write_own_clip, write_own_music

MODEL = "own"


def refresh():
    with new_session(**OWN_MUSIC) as session:
        session.run(runner=StaleRunner())
    forget_sessions()


def test_readers_are_not_disturbed(data):
    """In another process, from before the refresh to after it: the catalog, report, runs and champion."""
    root = write_own_music(data)
    refresh()
    for seed in range(1000, 1003):
        write_own_clip(root / "jazz" / f"new {seed}.wav", seed=seed)

    script = Path(__file__).parents[1] / "reading_meanwhile.py"
    reader = subprocess.Popen(
        [sys.executable, str(script), str(data), MODEL, str(root / "jazz" / "0.wav")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert any(line == "read once\n" for line in reader.stdout)
        refresh()
        out, _ = reader.communicate()
    finally:
        reader.kill()
        reader.wait()
    told = json.loads(out.splitlines()[-1])
    assert told["failures"] == []
    assert told["n_readings"] >= 2
    assert len(list((data / "06_models").glob("**/repeat_??/card.json"))) == 2

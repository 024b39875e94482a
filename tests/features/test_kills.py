"""A kill at any point costs at most a shard, and leaves no trace in the bytes."""

import subprocess
import sys
from pathlib import Path

# One in seven of some 170 changes of the disk [?]: each costs two extractions. With 1, all passed.
EVERY = 7


def test_a_killed_extraction_goes_on_where_it_was(write_track, make_tracks, tmp_path):
    rows = [write_track(f"t{number}", seed=number, n_samples=3000 + 500 * number) for number in range(5)]
    make_tracks(rows).to_pickle(tmp_path / "tracks.pickle")
    script = Path(__file__).with_name("kill_points.py")
    result = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(EVERY)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 10

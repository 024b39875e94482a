"""What CONTRIBUTING says to copy works as it is written there: it is copied into a copy of the project, and tried."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genre_pipeline.project import PROJECT_ROOT
from stage_versions.lock import LOCK, complaints, read_code, read_lock

_BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+?)(?:, in (\w+):)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall((PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
_IGNORED = shutil.ignore_patterns("local", "*.png")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project with everything that CONTRIBUTING gives to copy, and nothing else."""
    folder = tmp_path_factory.mktemp("contributed")
    for name in ("src", "conf", "docs", "tests"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=_IGNORED)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(PROJECT_ROOT / name, folder / name)
    for path, place, content in BLOCKS:
        file = folder / path
        if place:
            before, begin, after = file.read_text(encoding="utf-8").partition(f"\n{place} = {{\n")
            assert begin
            file.write_text(before + begin + content + after, encoding="utf-8")
        else:
            assert not file.exists()
            file.write_text(content, encoding="utf-8")
    return folder


def run(copy, *command):
    variables = {**os.environ, "PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=copy, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_something_to_copy_for_a_model_a_dataset_and_a_feature():
    assert [path for path, *_ in BLOCKS] == [
        "src/genre_pipeline/models/my_cnn.py",
        "conf/base/parameters/models/my_cnn.yml",
        "src/genre_pipeline/datasets/my_set.py",
        "conf/base/parameters/datasets/my_set.yml",
        "tests/datasets/test_contract.py",
        "src/genre_pipeline/features/my_energy.py",
        "conf/base/parameters/features/my_energy.yml",
    ]


def test_a_model_without_a_paper_has_a_card_and_a_row_and_all_keep_the_contracts(copy):
    run(copy, "docs/make_model_cards.py")
    card = (copy / "docs/models/others.md").read_text(encoding="utf-8")
    assert "\n## my_cnn\n\nNo paper.\n\n`log_mel_100`, 100 x 130 (3.0 s); 31,098 parameters" in card
    assert "\n- `n_filters`: Channels of each convolution; each halves bins and frames [?].\n" in card
    index = (copy / "docs/models/README.md").read_text(encoding="utf-8")
    [row] = re.findall(r"^\| \[`my_cnn`\].*$", index, re.MULTILINE)
    assert row.startswith("| [`my_cnn`](others.md#my_cnn) | - | 31,098 | ")
    files = ("models/test_networks.py", "datasets/test_contract.py", "features/test_contract.py")
    paths = [f"tests/{file}" for file in (*files, "features/test_presets.py", "models/test_model_cards.py")]
    chosen = "my_cnn or my_set or my_energy or every_kind_has or every_registered or belongs"
    printed = run(copy, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider", *paths, "-k", chosen)
    for name in ("my_cnn", "my_set", "my_energy"):
        assert re.search(rf"^PASSED .*\[{name}\b", printed, re.MULTILINE)


def test_what_is_copied_is_in_the_style_of_the_project(copy):
    ruff = Path(sys.executable).with_name("ruff")
    paths = [path for path, *_ in BLOCKS if path.endswith(".py")]
    for command in (("check", "--no-cache"), ("format", "--no-cache", "--check")):
        done = subprocess.run([ruff, *command, *paths], cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_new_members_with_a_version_are_named_until_they_are_written_down(copy):
    code = read_code(copy)
    new = [f"`{name}` is new: write that down with `make stages`." for name in ("features.my_energy", "models.my_cnn")]
    assert [line for line in complaints(code, read_lock(LOCK)) if "my_" in line] == new
    assert {name for name in code.stages if "my_" in name} == {"features.my_energy", "models.my_cnn"}

"""The page of ambiguities names parameters and presets that exist."""

import re

import pytest

from genre_pipeline.models import MODELS
from genre_pipeline.project import PROJECT_ROOT
from genre_pipeline.reporting.model_cards import read_presets
from genre_pipeline.training import TrainingBlock

CONF = PROJECT_ROOT / "conf/base"
PRESETS = {preset.name for preset in read_presets(CONF)}
ROWS = [
    line
    for line in (PROJECT_ROOT / "docs/models/ambiguities.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and line.count("|") == 5 and not line.startswith("| open |")
]


def test_there_are_rows_and_each_says_where_its_default_is_from():
    assert len(ROWS) > 40
    for row in ROWS:
        evidence_and_default = row.split("|")[2:4]
        assert any(cell.strip() for cell in evidence_and_default), row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_what_changes_it_exists(row):
    last = row.split("|")[4]
    for name in re.findall(r"`architecture\.(\w+)`", last):
        assert any(name in spec.block.model_fields for spec in MODELS), name
    for name in re.findall(r"`training\.(\w+)`", last):
        assert name in TrainingBlock.model_fields, name
    for name in re.findall(r"presets? ((?:`\w+`(?:, )?)+)", last):
        assert set(re.findall(r"`(\w+)`", name)) <= PRESETS, name
    for name in re.findall(r"`features\.(\w+)", last):
        places = [path for folder in ("parameters", "experiments") for path in CONF.glob(f"{folder}/**/*.yml")]
        assert any(f"\n  {name}:\n" in path.read_text(encoding="utf-8") for path in places), name

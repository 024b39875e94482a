"""Write the model cards and their index: ``python docs/make_model_cards.py``."""

from __future__ import annotations

from pathlib import Path

from genre_pipeline.reporting.model_cards import measure_cost, model_table, pages, read_presets

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write ``docs/models/<paper>.md`` and ``docs/models/README.md``."""
    for path, content in contents().items():
        path.write_text(content, encoding="utf-8")


def contents() -> dict[Path, str]:
    """Return what each file should contain."""
    presets = read_presets(ROOT / "conf/base")
    costs = {preset.name: measure_cost(preset) for preset in presets}
    written = {**pages(presets, costs), "README.md": model_table(presets, costs)}
    return {ROOT / "docs/models" / name: page for name, page in written.items()}


if __name__ == "__main__":
    main()

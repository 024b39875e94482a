"""Write the model cards and the README's table of models: ``python docs/make_model_cards.py``."""

from __future__ import annotations

from pathlib import Path

from genre_pipeline.model_cards import measure_cost, model_table, pages, read_presets

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- models -->\n", "<!-- /models -->\n"


def main() -> None:
    """Write ``docs/models/<paper>.md`` and the part of the README between its markers."""
    for path, content in contents().items():
        path.write_text(content, encoding="utf-8")


def contents() -> dict[Path, str]:
    """Return what each file should contain."""
    presets = read_presets(ROOT / "conf/base")
    costs = {preset.name: measure_cost(preset) for preset in presets}
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    table = model_table(presets, costs, folder="docs/models")
    cards = {ROOT / "docs/models" / name: page for name, page in pages(presets, costs).items()}
    return {**cards, readme: f"{before}{BEGIN}{table}{END}{after}"}


if __name__ == "__main__":
    main()

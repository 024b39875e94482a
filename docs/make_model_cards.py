"""Write the model cards and their index: ``python docs/make_model_cards.py``."""

from __future__ import annotations

from pathlib import Path

from genre_pipeline.configuration import load_configuration
from genre_pipeline.experiment import load_experiment
from genre_pipeline.reporting.model_cards import (
    PAPERS,
    measure_cost,
    measure_experiment,
    model_table,
    pages,
    read_presets,
)

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Write ``docs/models/<paper>.md`` and ``docs/models/README.md``."""
    for path, content in contents().items():
        path.write_text(content, encoding="utf-8")


def contents() -> dict[Path, str]:
    """Return what each file should contain."""
    presets = read_presets(ROOT / "conf/base")
    costs = {preset.name: measure_cost(preset) for preset in presets}
    experiments = {}
    for name in (name for paper in PAPERS for name in paper.experiments):
        loaded = load_experiment(load_configuration(experiment=name)["parameters"])
        experiments[name] = measure_experiment(
            loaded.cells,
            presets=presets,
            costs=costs,
            models=loaded.models,
            features=loaded.features,
            protocols=loaded.protocols,
        )
    written = {**pages(presets, costs, experiments), "README.md": model_table(presets, costs)}
    return {ROOT / "docs/models" / name: page for name, page in written.items()}


if __name__ == "__main__":
    main()

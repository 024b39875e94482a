"""``genre-pipeline export``: a trained model with its front-end as one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genre_pipeline.cli import Choice, choosing
from genre_pipeline.errors import ExportError

if TYPE_CHECKING:
    from genre_pipeline.evaluation.prediction import GenrePredictor
    from genre_pipeline.experiment import Experiment
    from genre_pipeline.exports.files import Format, Recording


@click.command()
@choosing
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "torch"]),
    default="onnx",
    show_default=True,
    help="torch is an archive of torch.export.",
)
@click.option("--quantise", is_flag=True, help="Keep the model's matrices in eight bits (ONNX only).")
@click.option(
    "--check",
    "songs",
    multiple=True,
    metavar="SONG",
    type=click.Path(path_type=Path),
    help="Compare with the model on this song, any number of times. Default: a track of each genre of its dataset.",
)
@click.option(
    "--page",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also write a page that classifies songs in a browser, without a server (ONNX only; needs --web-runtime).",
)
@click.option(
    "--web-runtime",
    "runtime",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="ARCHIVE",
    help="What 'npm pack onnxruntime-web@1.30.0' writes.",
)
@click.argument("path", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
def export(
    choice: Choice,
    form: Format,
    quantise: bool,
    songs: tuple[Path, ...],
    page: Path | None,
    runtime: Path | None,
    path: Path,
) -> None:
    """Write the experiment's best model with its front-end to FILE: from a waveform to probabilities.

    The file is written only if its probabilities are the model's, to 1e-4. Its card is in it, and beside it as
    Markdown. --params predict.cell=NAME chooses another cell.
    """
    if form != "onnx" and (quantise or page):
        raise click.UsageError("--quantise and --page need --format onnx.")
    if (page is None) != (runtime is None):
        raise click.UsageError(
            "--page and --web-runtime need each other. Get the runtime: npm pack onnxruntime-web@1.30.0"
        )
    # It would be replaced: by a superuser, even /dev/null.
    if path.exists() and not path.is_file():
        raise click.UsageError(f"FILE: {path} is a device or a pipe. Name a file.")
    from kedro.io import DataCatalog

    from genre_pipeline.exports.card import describe, describe_in_words
    from genre_pipeline.exports.files import write
    from genre_pipeline.exports.page import check_page, write_page
    from genre_pipeline.serving import open_experiment
    from genre_pipeline.storage import atomic_file, check_writable

    if page is not None and runtime is not None:
        check_page(page, runtime)
    check_writable(path)
    experiment, loader = choice.read(), choice.configuration()
    model, _ = open_experiment(loader, experiment, experiment.predict)
    catalog: Any = DataCatalog.from_config(loader["catalog"])
    recordings = _recordings(model, songs or _tracks(experiment, model, catalog))
    result = catalog.load(f"{model.cell}.results_if_any")
    dataset = model.cell.split(".")[0]
    card = describe(model, result, catalog.load(f"{dataset}.quality")["licence"])
    compared = write(model, path, recordings, card, form=form, quantised=quantise)
    beside = path.with_name(f"{path.name}.md")
    with atomic_file(beside) as temporary:
        words = describe_in_words(card, compared, len(recordings), quantised=quantise)
        temporary.write_text(words, encoding="utf-8")
    if page is not None and runtime is not None:
        write_page(page, path, card, runtime)
        click.echo(f"Written: {page / 'index.html'}, which classifies songs in a browser with the same model")
    click.echo(
        f"Written: {path} and {beside}, of {model.cell}. On {len(recordings)} recordings its probabilities differ from "
        f"the model's by at most {compared.difference:.1e}, those of segments by {compared.segment_difference:.1e}; "
        f"{100 * compared.agreement:.0f} % of them get the same genre."
    )


def _tracks(experiment: Experiment, model: GenrePredictor, catalog: Any) -> list[Path]:
    """Return a track of each genre of the dataset that a model was trained on."""
    dataset = model.cell.split(".")[0]
    tracks = catalog.load(f"{dataset}.tracks")
    first = tracks[~tracks["quarantined"]].groupby("genre").first()
    found = [path for each in first["path"] if (path := experiment.datasets[dataset].root / each).is_file()]
    if not found:
        raise ExportError(
            f"The tracks of {dataset} are not at {experiment.datasets[dataset].root}: name songs to compare the file "
            "with the model on: --check SONG"
        )
    return found


def _recordings(model: GenrePredictor, songs: Sequence[Path]) -> list[Recording]:
    from genre_pipeline.audio.io import read_waveform
    from genre_pipeline.exports.files import Recording

    rate = model.feature.sample_rate
    return [Recording(read_waveform(each, sample_rate=rate), model.segment_probabilities(each)) for each in songs]

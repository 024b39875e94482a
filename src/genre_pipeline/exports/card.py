"""The card that travels with an exported model: what it is, how good it is, and how to use the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.exports.files import Comparison, least_samples
from genre_pipeline.reporting.document import Facts, Paragraph, Section, format_markdown
from genre_pipeline.reporting.prediction import model_facts
from genre_pipeline.reporting.wording import (
    LEAKY,
    LEAKY_NOTE,
    abstention_text,
    pretrained_text,
    share_of_tests,
    split_marks,
)
from genre_pipeline.results.cell import CellResult, statistic, summary_row, unknown_share

_USE = (
    "The input, waveform, is mono samples at {sample_rate} Hz, float32, full scale 1, shape (n_samples,), at least "
    "{min_samples} of them. The outputs are probabilities of the recording, shape (n_genres,), and "
    "segment_probabilities, shape (n_segments, n_genres), whose mean the first is. Genres are in the order above. A "
    "segment lasts {segment_s:.2f} s, and the next begins {hop_s:.2f} s later."
)


def describe(predictor: GenrePredictor, result: CellResult | None, licence: str) -> dict[str, Any]:
    """Describe a model, as JSON can hold it.

    Args:
        predictor: The model.
        result: Its cell's result; ``None`` if it was not evaluated.
        licence: That of the music that it was trained on; empty if it is not stated.

    Returns:
        The facts of :func:`~genre_pipeline.reporting.prediction.model_facts`, ``sample_rate``, ``min_samples``,
        ``segment_s``, ``hop_s``, ``n_models``, ``feature`` (its parameters) and ``licence``, and where they are known
        ``threshold`` (from which probability on it is sure), ``sure`` (what that is worth, in a sentence), ``quality``
        (accuracy of test tracks, in a sentence), ``pretraining`` and ``commit``.
    """
    feature = predictor.feature
    known = {} if result is None else _known(result)
    card: dict[str, Any] = {
        **model_facts(predictor, known),
        "sample_rate": feature.sample_rate,
        "min_samples": least_samples(feature),
        # Features whose frame is the whole clip cannot be exported.
        "segment_s": predictor.segment_s or 0.0,
        "hop_s": predictor.hop_s,
        "n_models": len(predictor.predictors),
        "feature": feature.model_dump(mode="json", exclude={"weights_path"}),
        "licence": licence,
    }
    if predictor.abstention is not None:
        card |= {"threshold": min(predictor.abstention.threshold, 2.0), "sure": abstention_text(predictor.abstention)}
    if result is not None:
        right = f"{LEAKY}: right" if predictor.leaky else "Right"
        card["quality"] = f"{right} about {share_of_tests(known['accuracy'], known, known['statistic'])}."
        card["commit"] = result["git_commit"]
        if "pretraining" in result:
            card["pretraining"] = dict(result["pretraining"])
    return card


def _known(result: CellResult) -> dict[str, Any]:
    row = summary_row(result, unit="track", metric="accuracy")
    return {
        "accuracy": row["mean"],
        "ci_low": row["ci_low"],
        "ci_high": row["ci_high"],
        "statistic": statistic(result),
        "artists_unknown": unknown_share(result),
    }


def describe_in_words(card: Mapping[str, Any], compared: Comparison, n_recordings: int, *, quantised: bool) -> str:
    """Write a card as Markdown.

    Args:
        card: What :func:`describe` returned.
        compared: How the file's answers differ from the model's.
        n_recordings: On how many recordings.
        quantised: Whether matrices are in eight bits.
    """
    pretrained = card.get("pretraining")
    facts = {
        "Cell": card["cell"],
        "Genres": ", ".join(card["genres"]),
        "Models": f"{card['n_models']}, whose probabilities are averaged" if card["n_models"] > 1 else "1",
        "Quality": card.get("quality", "not evaluated"),
        "Warning": f"{LEAKY}: {LEAKY_NOTE}" if card["leaky"] else ", ".join(split_marks(card)),
        "Sure": card.get("sure", ""),
        "Licence of the music": card["licence"] or "not stated",
        "Pretrained parts": pretrained_text(pretrained) if pretrained else "none",
        "Licence of pretrained weights": pretrained["licence"] if pretrained else "",
        "Matrices": "in eight bits" if quantised else "",
        "Checked": f"on {n_recordings} recordings: probabilities differ from the model's by at most "
        f"{compared.difference:.1e}, those of segments by {compared.segment_difference:.1e}",
        "Commit": card.get("commit", ""),
    }
    use = _USE.format(**card)
    sections = [
        Section("", card["cell"], [Facts({name: text for name, text in facts.items() if text})]),
        Section("", "Use", [Paragraph(use)]),
    ]
    return format_markdown(sections)

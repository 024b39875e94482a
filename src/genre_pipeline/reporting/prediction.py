"""Predicted genres, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from genre_pipeline.evaluation.prediction import GenrePredictor
from genre_pipeline.reporting.document import Paragraph, Section, Table, Value, numeric, texts
from genre_pipeline.reporting.final_model import abstention_text, share_of_tests
from genre_pipeline.reporting.wording import LEAKY, LEAKY_NOTE, percent, split_marks

NOT_SURE = "not sure"

# Genres that are named for a song, the most probable first [?].
_N_SHOWN = 3


def answer(row: Mapping[Any, Any]) -> str:
    """Return the genre of a classified file, or that the model is not sure of it.

    Args:
        row: A row of what :meth:`~genre_pipeline.evaluation.prediction.GenrePredictor.classify` returned.

    Example:
        >>> answer({"genre": "jazz", "sure": True}), answer({"genre": "jazz", "sure": False})
        ('jazz', 'not sure')
        >>> answer({"genre": "jazz", "sure": pd.NA})
        'jazz'
    """
    return str(row["genre"]) if pd.isna(row["sure"]) or row["sure"] else NOT_SURE


def describe(table: pd.DataFrame, model: GenrePredictor, leader: Mapping[str, Any]) -> list[Section]:
    """Show predicted genres, which model predicted them, and how good it was where it was compared.

    Args:
        table: What :meth:`~genre_pipeline.evaluation.prediction.GenrePredictor.classify` returned.
        model: The model.
        leader: What is to know of it (:func:`~genre_pipeline.evaluation.leaderboard.describe_leader`), or nothing.
    """
    rows: list[list[Value]] = []
    faults: list[str] = []
    columns = [name for name in table if str(name).startswith("p_")]
    for row in table.to_dict("records"):
        if row["error"]:
            faults.append(f"Not classified: {row['error']}")
            continue
        shown = answer(row)
        best = sorted(columns, key=lambda name: -row[name])[:_N_SHOWN]
        named = [f"{str(name).removeprefix('p_')} {percent(row[name])}" for name in best]
        is_sure = shown != NOT_SURE
        rows.append([row["path"], shown, percent(row["probability"]), ", ".join(named[is_sure:])])
    titles = [*texts("file", "genre"), *numeric("probability"), *texts("next")]
    sections = [Section("", "", [Table("", "", titles, rows)])] if rows else []
    if faults:
        sections.append(Section("", "", [Paragraph("\n".join(faults))]))
    return [*sections, Section("", "", [Paragraph(_model(table, model, leader))])]


def _model(table: pd.DataFrame, model: GenrePredictor, leader: Mapping[str, Any]) -> str:
    text = f"Probabilities in %, of {model.cell}."
    if leader:
        text += f" It was right about {share_of_tests(leader['accuracy'], leader, leader['statistic'])}."
    text += f" {abstention_text(model.abstention)}"
    if table["leaky"].any():
        return f"{text} {LEAKY}: {LEAKY_NOTE}"
    marks = split_marks(leader) if leader else []
    return f"{text} {'. '.join(marks)}." if marks else text

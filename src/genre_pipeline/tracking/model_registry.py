"""Versions of a cell's model in MLflow's registry, and which of them is the champion."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from genre_pipeline.errors import NotLoggedError, TrackingError
from genre_pipeline.evaluation.promotion import Alias, Decision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION: Alias = "champion"
CHALLENGER: Alias = "challenger"
FINGERPRINT = "model_fingerprint"
# What a version was right about, in the artifacts of its run.
_OUTCOMES = "registry/test_outcomes.parquet"
_CARD = "model_card.md"

Decide = Callable[[pd.DataFrame], Decision]


def register_model(
    client: MlflowClient,
    experiment_id: str,
    name: str,
    *,
    fingerprint: str,
    outcomes: pd.DataFrame,
    genres: Collection[str],
    decide: Decide,
    card: str = "",
    leaky: bool = False,
) -> dict[str, Any]:
    """Make a logged model a version of a registered one, and decide whether it is the champion.

    The alias moves last and in one step, so that who serves ``models:/<name>@champion`` has a model at any time. A
    model that is registered already keeps its version. Whatever was interrupted is done by the next call.

    Args:
        client: Client of the MLflow server.
        experiment_id: The MLflow experiment in which the model was logged.
        name: The registered model; it is made where there is none.
        fingerprint: The model's fingerprint, with which it was logged.
        outcomes: What the model was right about: ``repeat``, ``track_id``, ``right``.
        genres: The genres that the model knows.
        decide: Given the champion's outcomes, decides.
        leaky: Whether the outcomes are inflated: see :func:`_decision`.
        card: The model's card, in Markdown, which describes the version and is kept among the files of its run.

    Returns:
        ``model`` (the registered name), ``version``, ``alias``, ``reason``, ``champion`` (the version that had the
        alias before, or None) and ``comparison``.

    Raises:
        NotLoggedError: If the model was not logged.
    """
    version = _version(client, name, fingerprint)
    run_id = _holder(client, experiment_id, name, fingerprint) if version is None else str(version.run_id)
    _write_outcomes(client, run_id, outcomes)
    if version is None:
        version = _new_version(client, experiment_id, name, run_id, fingerprint)
    champion = _champion(client, name)
    decision = _decision(client, champion, version, decide, genres=genres, leaky=leaky)
    tags: Mapping[str, Any] = {
        "decision": decision.alias,
        "genres": json.dumps(sorted(genres), ensure_ascii=False),
        "leaky": leaky,
        "reason": decision.reason,
        "compared_with": "" if champion is None else champion.version,
        **{key: decision.comparison[key] for key in ("difference", "p", "n_tracks") if decision.comparison},
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, version.version, key, str(value))
    if card:
        client.update_model_version(name, version.version, card)
        client.log_text(run_id, card, _CARD)
    client.set_registered_model_alias(name, decision.alias, version.version)
    challenger = client.get_registered_model(name).aliases.get(CHALLENGER)
    # One that is older than the champion has had its turn.
    if decision.alias == CHAMPION and challenger is not None and int(challenger) <= int(version.version):
        client.delete_registered_model_alias(name, CHALLENGER)
    return {
        "model": name,
        "version": int(version.version),
        "alias": decision.alias,
        "reason": decision.reason,
        "champion": None if champion is None else int(champion.version),
        "comparison": decision.comparison,
    }


def _version(client: MlflowClient, name: str, fingerprint: str) -> ModelVersion | None:
    versions = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return next((each for each in versions if each.tags.get(FINGERPRINT) == fingerprint), None)


def _holder(client: MlflowClient, experiment_id: str, name: str, fingerprint: str) -> str:
    holders = client.search_runs([experiment_id], f"tags.{FINGERPRINT} = '{fingerprint}'", max_results=1)
    if not holders:
        raise NotLoggedError(
            f"The model {name} (fingerprint {fingerprint}) is in no run of MLflow: expected the run of its cell. Run "
            "'evaluate' again, with tracking, so that it is logged."
        )
    return str(holders[0].info.run_id)


def _new_version(client: MlflowClient, experiment_id: str, name: str, run_id: str, fingerprint: str) -> ModelVersion:
    # Not mlflow.register_model, which prints.
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    (model,) = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'", max_results=1)
    tags = {FINGERPRINT: fingerprint}
    return client.create_model_version(
        name, model.model_uri, run_id, tags, await_creation_for=0, model_id=model.model_id
    )


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if version is None else client.get_model_version(name, version)


def _decision(
    client: MlflowClient,
    champion: ModelVersion | None,
    version: ModelVersion,
    decide: Decide,
    *,
    genres: Collection[str],
    leaky: bool,
) -> Decision:
    """Decide whether a version is the champion.

    Inflated outcomes are not compared with others. A model that knows fewer genres has an easier task on the tracks
    that it has in common with the champion, and would take answers away from whoever uses it.
    """
    if champion is None:
        return Decision(CHAMPION, "the first version")
    if champion.version == version.version:
        return Decision(CHAMPION, "the champion already")
    if leaky != (champion.tags.get("leaky", "False") == "True"):
        reason = "its numbers are inflated (LEAKY), the champion's are not"
        if not leaky:
            reason = "the champion's numbers are inflated (LEAKY), these are not"
        return Decision(CHALLENGER if leaky else CHAMPION, reason)
    if unknown := sorted({*json.loads(champion.tags.get("genres", "[]"))} - {*genres}):
        named = ", ".join(f"'{genre}'" for genre in unknown)
        return Decision(CHALLENGER, f"it does not know {named}, which the champion knows")
    return decide(_read_outcomes(client, str(champion.run_id)))


def _write_outcomes(client: MlflowClient, run_id: str, outcomes: pd.DataFrame) -> None:
    folder, name = _OUTCOMES.split("/")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, name)
        outcomes.to_parquet(path, index=False)
        client.log_artifact(run_id, str(path), folder)


def _read_outcomes(client: MlflowClient, run_id: str) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as temporary:
        path = client.download_artifacts(run_id, _OUTCOMES, temporary)
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise TrackingError(
                f"The champion's predictions ({_OUTCOMES} of the MLflow run {run_id}) cannot be read ({error}), so no "
                "model can be compared with it. Put a copy back, or delete the registered version."
            ) from error

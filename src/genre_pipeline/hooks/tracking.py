"""Writes to MLflow what nodes log, below the run that kedro-mlflow opens, and lends nodes what they need of it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from genre_pipeline.cells import Cell
from genre_pipeline.logs import CellLog

if TYPE_CHECKING:
    from genre_pipeline.tracking import MlflowTracker

# What a catalog entry's metadata call the artifact of the session's run that it is attached as.
_ARTIFACT = "artifact"
# The entries that the session is described by.
_LEADERBOARD = "leaderboard"
_PAIRS = "paired_comparisons"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
# Sections of the parameters by which people find a session.
_DESCRIBING = ("experiment", "storage", "training")


class TrackingHook:
    """Tracks a session, and leaves no trace of it in the process. Nodes know nothing of MLflow."""

    _given_uri: str | None = None
    _tracker: MlflowTracker | None = None

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Make sure that the MLflow server answers, before kedro-mlflow waits for it for minutes, or make the database.

        Args:
            context: The session's context.

        Raises:
            TrackingError: If the server does not answer, or the database cannot be used.
            StorageError: If the database cannot be written.
        """
        from kedro.config import MissingConfigException

        from genre_pipeline.tracking import check_server, open_database

        self._given_uri = os.environ.get(_URI_VARIABLE)
        # kedro-mlflow sets its own level on import, which overrides conf/logging.yml.
        logging.getLogger("kedro_mlflow").setLevel(logging.WARNING)
        # It logs the traceback of what it raises.
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
        try:
            settings = context.config_loader["mlflow"]
        except MissingConfigException:
            return
        uri = settings.get("server", {}).get("mlflow_tracking_uri") or ""
        check_server(uri)
        open_database(uri)

    @hook_impl
    def after_catalog_created(self) -> None:
        """Undo what MLflow wrote into the environment, which the next session would take for the user's setting."""
        if self._given_uri is None:
            os.environ.pop(_URI_VARIABLE, None)
        else:
            os.environ[_URI_VARIABLE] = self._given_uri

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: DataCatalog) -> None:
        """Start tracking below the active run; with tracking disabled for the pipeline there is none.

        Args:
            catalog: The session's catalog, for the parameters that describe it.
        """
        import mlflow
        from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook
        from mlflow.utils.mlflow_tags import MLFLOW_RUN_NAME

        from genre_pipeline.project import git_commit
        from genre_pipeline.tracking import MlflowTracker, close_runs_of_the_dead, tracking_client
        from genre_pipeline.tracking.pages import save_view
        from genre_pipeline.tracking.system import watch_system
        from genre_pipeline.tracking.tracker import log_params, owner_tags
        from genre_pipeline.work.processes import Owner

        run = mlflow.active_run()
        if run is None:
            # Else it would reopen the run of the session before.
            mlflow_hook.run_id = None
            return
        client = tracking_client(mlflow.get_tracking_uri())
        # kedro-mlflow logs what nodes take, and no node takes these as a whole.
        described = {section: catalog.load(f"params:{section}") for section in _DESCRIBING}
        experiment = described["experiment"]["name"]
        owner = owner_tags(Owner.this_process())
        tags = {**owner, "experiment": experiment, "git_commit": git_commit()}
        name = f"{experiment} · {run.info.run_name}"
        # The owner first, so that the next session closes the run if this process is killed now.
        for key, value in {**tags, "level": "session", MLFLOW_RUN_NAME: name}.items():
            client.set_tag(run.info.run_id, key, value)
        close_runs_of_the_dead(client, run.info.experiment_id)
        save_view(client, run.info.experiment_id)
        log_params(client, run.info.run_id, described)
        features = {name: block["feature"] for name, block in catalog.load("params:models").items()}
        monitor = watch_system(run.info.run_id)
        self._tracker = MlflowTracker(client, run.info.experiment_id, run.info.run_id, tags, monitor, features)

    @hook_impl
    def before_node_run(self, node: Node) -> dict[str, Any]:
        """Lend a node what it logs with while it runs, the history of its cell, and the registry.

        Args:
            node: The node.
        """
        if self._tracker is None:
            return {}
        lent: dict[str, Any] = {}
        for entry in node.inputs:
            cell, _, kind = entry.rpartition(".")
            if kind == "session_log":
                lent[entry] = self._tracker.write
            elif kind == "session_registry":
                lent[entry] = self._tracker.register_model
            elif kind == "session_pages":
                lent[entry] = self._tracker.pages()
            elif kind == "history":
                lent[entry] = self._tracker.history(Cell.parse(cell))
        return lent

    @hook_impl
    def after_node_run(self, catalog: DataCatalog, outputs: dict[str, Any]) -> None:
        """Write what a node logs, and attach results to the session's run whose catalog entry says so.

        Args:
            catalog: The session's catalog.
            outputs: What the node returned, by catalog entry.
        """
        if self._tracker is None:
            return
        for entry, content in outputs.items():
            if isinstance(content, CellLog):
                self._tracker.write(content)
            metadata = getattr(catalog.get(entry), "metadata", None) or {}
            if _ARTIFACT in metadata:
                self._tracker.log_artifact(content, metadata[_ARTIFACT])
        self._tracker.flush()

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Describe the session by its winners, and end the runs of the cells before kedro-mlflow closes its own.

        Args:
            pipeline: What was run.
            catalog: The session's catalog.
        """
        from genre_pipeline.reporting.leaderboard import conclude

        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            if {_LEADERBOARD, _PAIRS} <= pipeline.all_outputs():
                lines = conclude(catalog.load(_LEADERBOARD), catalog.load(_PAIRS)).splitlines()
                tracker.describe("\n".join(f"- {line}" for line in lines))
            tracker.close("FINISHED")
            tracker.describe_experiment()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: BaseException) -> None:
        """Mark the open runs as failed, or killed, before kedro-mlflow closes the session's.

        Args:
            error: What ended the session: an interruption if it is no ``Exception``.
        """
        from genre_pipeline.tracking import close_runs

        tracker, self._tracker = self._tracker, None
        close_runs(tracker, "FAILED" if isinstance(error, Exception) else "KILLED")

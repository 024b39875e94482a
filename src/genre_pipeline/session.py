"""Kedro's session, with a clean end for Ctrl-C and errors that say what happened."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.io import DatasetError

from genre_pipeline.errors import ConfigError, own_error
from genre_pipeline.refresh.place import refresh_folder
from genre_pipeline.registry import suggestion
from genre_pipeline.storage import atomic_file

logger = logging.getLogger(__name__)

# What kedro.io.core.generate_timestamp writes.
_SESSION_ID = "%Y-%m-%dT%H.%M.%S.%fZ"


class InterruptibleSession(KedroSession):
    """A session whose hooks also hear of Ctrl-C.

    Kedro tells hooks about exceptions only, and an interruption is none: the MLflow runs would stay open for ever.
    """

    # Which pipelines are asked for; unknown before the run.
    _pipeline_names: Sequence[str] | None = None

    def run(
        self, pipeline_name: str | None = None, pipeline_names: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Run pipelines as :meth:`kedro.framework.session.KedroSession.run` does.

        Raises:
            KeyboardInterrupt: On Ctrl-C, after the runs of MLflow were closed as killed.
            ConfigError: If there is no pipeline of that name.
            GenrePipelineError: What the project reports, also where Kedro wraps it because a catalog entry raised it.
        """
        self._pipeline_names = [pipeline_name] if pipeline_name else pipeline_names or []
        # It becomes the version of every result.
        self._store["session_id"] = _after_the_last(self.store["session_id"])
        try:
            return super().run(pipeline_name, pipeline_names, *args, **kwargs)
        except DatasetError as error:
            raise own_error(error) from None
        except KeyboardInterrupt:
            from genre_pipeline.tracking import close_interrupted_runs

            close_interrupted_runs()
            logger.warning("Interrupted. What was finished is kept: the same command goes on from there.")
            raise

    def load_context(self) -> KedroContext:
        """Make the context, and check the names of the pipelines to run.

        Raises:
            ConfigError: If a parameter is wrong, or there is no pipeline of a name.
            ComputeError: If what a pipeline needs is not installed.
        """
        from kedro.framework.project import pipelines

        from genre_pipeline.pipeline_registry import use_parameters
        from genre_pipeline.tuning import check_optuna

        context = super().load_context()
        if self._pipeline_names is None:
            return context
        parameters = context.config_loader["parameters"]
        use_parameters(parameters, only=self._pipeline_names)
        for name in self._pipeline_names:
            if name not in pipelines:
                # All of them, to suggest the nearest.
                use_parameters(parameters)
                raise ConfigError(f"There is no pipeline '{name}'. {suggestion(name, pipelines)}")
        if "tune" in self._pipeline_names:
            check_optuna()
        return context


def _after_the_last(session_id: str) -> str:
    """Return a session's id, or the one after the last session's if the clock has been set back since.

    Kedro loads the version of a result that comes last by name: new results would be passed over for old ones.
    """
    path = refresh_folder() / "last_session"
    last = _last_session(path)
    if last is not None and session_id <= _named(last):
        session_id = _named(last + timedelta(milliseconds=1))
        logger.warning("The clock was set back: this session's results are named %s, after the last ones.", session_id)
    with atomic_file(path) as temporary:
        temporary.write_text(session_id, encoding="utf-8")
    return session_id


def _last_session(path: Path) -> datetime | None:
    """Read when the last session began; none where nobody knows."""
    try:
        moment = datetime.strptime(path.read_text(encoding="utf-8"), _SESSION_ID).replace(tzinfo=timezone.utc)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning(
            "%s cannot be read (%s), and is written anew. If the clock was set back since the last session, run "
            "'kedro refresh' once it is right.",
            path,
            error,
        )
        return None
    # The last year that there is leaves no room for a later session.
    return moment if moment.year < datetime.max.year else None


def _named(moment: datetime) -> str:
    """Return a session's id, as Kedro writes it."""
    return f"{moment:%Y-%m-%dT%H.%M.%S}.{moment.microsecond // 1000:03d}Z"

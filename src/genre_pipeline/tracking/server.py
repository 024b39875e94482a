"""A quick look whether the MLflow server answers, before a long run relies on it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlparse

from genre_pipeline.errors import TrackingError

# Seconds: a server on the network answers /health within one; MLflow's own retries would take many minutes.
_TIMEOUT_S = 10.0


def check_server(uri: str) -> None:
    """Make sure that an MLflow server answers; local files and other schemes need no check.

    Args:
        uri: The tracking URI.

    Raises:
        TrackingError: If the URI is that of a server and nothing answers there.

    Example:
        >>> check_server("sqlite:///runs.db")
    """
    if urlparse(uri).scheme not in {"http", "https"}:
        return
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S):  # noqa: S310 - scheme checked
            return
    except urllib.error.HTTPError:
        # Something answers; whether it is allowed in is for MLflow itself to find out.
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise TrackingError(
            f"The MLflow server at {uri} does not answer ({reason}). Start it, correct MLFLOW_TRACKING_URI, or unset "
            "MLFLOW_TRACKING_URI to log into the local SQLite file."
        ) from error

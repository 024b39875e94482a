"""The exceptions of the project: one tree, so that one ``except`` catches whatever the project itself reports.

Every message says what was expected, what was given (which file, which key) and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class GenrePipelineError(Exception):
    """Base of all errors that the project raises on purpose."""


class ConfigError(GenrePipelineError):
    """A parameter is missing, misspelt, out of range or does not fit another one."""


class UnknownNameError(ConfigError):
    """A name (dataset, feature, model, protocol...) is not registered."""


class AudioError(GenrePipelineError):
    """An audio file or waveform cannot be used."""


class SampleRateError(AudioError):
    """An audio file's header states a sample rate that no audio has."""


class DatasetError(GenrePipelineError):
    """A music dataset is missing, empty, or is not what its loader expects."""


class SplitError(GenrePipelineError):
    """Tracks cannot be split as the protocol promises."""


class FeatureError(GenrePipelineError):
    """A feature cannot be computed from the audio it was given."""


class StoreError(GenrePipelineError):
    """A feature store is corrupted, incomplete, or was written for another feature."""


class CheckpointError(GenrePipelineError):
    """A trained model on disk is corrupted, incomplete, or is not the requested one."""


class TrainingError(GenrePipelineError):
    """Training cannot start or cannot go on (for example a loss that is not finite)."""


class RepeatFailedError(TrainingError):
    """The training of one repeat cannot go on; those of other repeats and cells may."""


class EvaluationError(GenrePipelineError):
    """Predictions cannot be scored."""


class TrackingError(GenrePipelineError):
    """The MLflow server does not answer or refuses what is logged."""


class NotLoggedError(TrackingError):
    """A model is in no run of this MLflow server."""


class StorageError(GenrePipelineError):
    """A result cannot be written (a full disk, a read-only folder), or is no longer what was written."""


class ComputeError(GenrePipelineError):
    """Workers cannot be started or reached, or died."""


class ExportError(GenrePipelineError):
    """An exported file does not answer as the model does."""


class RefreshError(GenrePipelineError):
    """Another refresh is running, or a step of this one failed."""


def own_error(error: BaseException) -> BaseException:
    """Return the project's error below another library's, or that one where there is none.

    Args:
        error: What a library raised, which may have wrapped what the project did.
    """
    cause = error
    while not isinstance(cause, GenrePipelineError):
        if cause.__cause__ is None:
            return error
        cause = cause.__cause__
    return cause


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, or came while handling, back to the first.

    Args:
        error: The last.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__

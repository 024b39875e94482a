"""A log-mel spectrogram whose computation kills the process that does it, once."""

from __future__ import annotations

import dataclasses
import os
import signal
from typing import Any

from genre_pipeline.features import FEATURES

KILLED_FILE = "DYING_FEATURE_KILLED_FILE"
_LOG_MEL = FEATURES["log_mel"]


def begin(signal_: Any, block: Any) -> Any:
    """Begin the feature, unless nobody died yet: whoever makes the file first does."""
    try:
        os.close(os.open(os.environ[KILLED_FILE], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return _LOG_MEL.begin(signal_, block)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("killed")


DYING = dataclasses.replace(_LOG_MEL, begin=begin)

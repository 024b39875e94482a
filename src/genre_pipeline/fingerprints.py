"""Fingerprints: short hashes of what a result was made from, so that stale results are never taken for fresh."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# 16 hex digits = 64 bits: no collision to fear among the thousands of results of one project.
_N_DIGITS = 16


def fingerprint(stage: str, version: int, **parts: Any) -> str:
    """Hash what a stage's result depends on.

    Args:
        stage: The stage's name.
        version: The version of the stage's code, raised whenever its results change.
        **parts: Everything else that the result depends on: plain JSON types (parameters, the fingerprints of
            inputs). Key order does not matter.

    Returns:
        16 hexadecimal digits.

    Raises:
        TypeError: If a part is not made of plain JSON types.

    Example:
        >>> fingerprint("split", 1, seed=0, ratio=0.1) == fingerprint("split", 1, ratio=0.1, seed=0)
        True
    """
    text = json.dumps({"stage": stage, "version": version, "parts": parts}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_N_DIGITS]

"""Fingerprints: short hashes of what a result was made from, so that stale results are never taken for fresh."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

# 16 hex digits = 64 bits: no collision to fear among the thousands of results of one project.
_N_DIGITS = 16
# [?] What is read of a file at a time: more is not faster.
_BLOCK_BYTES = 2**20


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


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file's content.

    Args:
        path: The file.
        algorithm: Name of the hash function, as :mod:`hashlib` knows it.

    Returns:
        The digest, in hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()

"""Catalog entry of the checkpoints of a cell."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kedro.io import Version

from genre_pipeline.catalog.pointer_dataset import PointerDataset
from genre_pipeline.training import Checkpoint, FailedRepeat
from genre_pipeline.training.checkpoints import open_trained


class CheckpointsDataset(PointerDataset[list[Checkpoint | FailedRepeat]]):
    """Points to the :class:`~genre_pipeline.training.Checkpoint` of each repeat of a cell, or says why it failed.

    A version whose checkpoint was replaced opens the one that was kept.

    ```yaml
    "{dataset}.{protocol}.{feature}.{model}.checkpoints":
      type: genre_pipeline.catalog.CheckpointsDataset
      filepath: ${data:}/06_models/{dataset}/{protocol}/{feature}/{model}/versions/checkpoints.json
      versioned: true
    ```
    """

    # Written out: Kedro makes a configuration of the arguments that it finds in the signature.
    def __init__(
        self, *, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        super().__init__(filepath=filepath, version=version, metadata=metadata)

    def _point(self, content: list[Checkpoint | FailedRepeat]) -> list[dict[str, Any]]:
        return [
            {"failed": asdict(each)}
            if isinstance(each, FailedRepeat)
            else {"folder": self._address(each.folder), "fingerprint": each.fingerprint, "reused": each.reused}
            for each in content
        ]

    def _open(self, pointer: Any) -> list[Checkpoint | FailedRepeat]:
        return [self._open_one(each) for each in pointer]

    def _open_one(self, pointer: dict[str, Any]) -> Checkpoint | FailedRepeat:
        if "failed" in pointer:
            return FailedRepeat(**pointer["failed"])
        folder = self._folder(pointer["folder"])
        return open_trained(folder, pointer["fingerprint"], named_in=self._filepath, reused=pointer["reused"])

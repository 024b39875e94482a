"""Splits: which tracks train, validate and test a model in each repeat, and the audit of leaks between them."""

from genre_pipeline.splits.base import PROTOCOLS, SPLITS, Assignment, ProtocolBlock, ProtocolSpec, SplitContext
from genre_pipeline.splits.records import SplitRecord, read_record, write_record
from genre_pipeline.splits.splitting import SplitResult, record_key, split_tracks

__all__ = [
    "PROTOCOLS",
    "SPLITS",
    "Assignment",
    "ProtocolBlock",
    "ProtocolSpec",
    "SplitContext",
    "SplitRecord",
    "SplitResult",
    "read_record",
    "record_key",
    "split_tracks",
    "write_record",
]

"""What a request to the service may cost."""

from __future__ import annotations

from pydantic import Field

from genre_pipeline.blocks import Block


class Limits(Block):
    """What a request may cost.

    Attributes:
        max_request_mb: Megabytes of a request, all files together.
        max_files: Files of a request.
        max_audio_s: Seconds of audio of a file.
        max_job_s: Seconds that a file may take; its worker is then killed.
        max_upload_s: Seconds that a request may take to arrive.
        max_memory_mb: Megabytes that a worker may take for a file, beside its models.
        n_workers: Worker processes: files that are classified at the same time.
        max_waiting: Requests that may wait for a worker; further ones are told to come back later.
    """

    max_request_mb: int = Field(default=200, ge=1, le=100_000)
    # No more than the reader of requests takes, whatever is asked for (python-multipart in Starlette).
    max_files: int = Field(default=32, ge=1, le=1000)
    max_audio_s: float = Field(default=900.0, gt=0.0, le=1e6)
    max_job_s: float = Field(default=60.0, gt=0.0, le=1e6)
    max_upload_s: float = Field(default=120.0, gt=0.0, le=1e6)
    max_memory_mb: int = Field(default=1024, ge=64, le=10_000_000)
    n_workers: int = Field(default=2, ge=1, le=1024)
    max_waiting: int = Field(default=16, ge=0, le=1_000_000)

"""Watching: look again and again, and act once what was found has come to rest."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from genre_pipeline.errors import GenrePipelineError

logger = logging.getLogger(__name__)


class Plan(Protocol):
    """What there is to do."""

    @property
    def stale(self) -> Sequence[object]:
        """What is to be run; empty if there is nothing."""
        ...

    @property
    def signature(self) -> tuple[object, ...]:
        """A key of the state of all that was looked at."""
        ...


AnyPlan = TypeVar("AnyPlan", bound=Plan)


def watch(
    plan: Callable[[], AnyPlan],
    run: Callable[[AnyPlan], None],
    *,
    wait: Callable[[float], object],
    interval_s: float,
    settle_s: float,
) -> None:
    """Look for what is stale until the waiting is interrupted, and run it once files have stopped changing.

    Files are looked at, not subscribed to, so that file systems of other machines can be watched. Something that cannot
    be looked at (a folder that is not mounted, a parameter that is being edited) is logged, and checked again. A
    refresh that failed is not tried again before something has changed.

    Args:
        plan: Finds what is stale.
        run: Runs it.
        wait: Waits for some seconds; what it raises ends the watch.
        interval_s: Seconds between two looks.
        settle_s: Seconds for which files must have stayed as they are.
    """
    failed: object = None
    while True:
        found = _looked(plan)
        if found is not None and found.stale and found.signature != failed:
            wait(settle_s)
            again = _looked(plan)
            while again is not None and again.signature != found.signature:
                logger.info("Files are still changing; waiting until they have not for %g s.", settle_s)
                found = again
                wait(settle_s)
                again = _looked(plan)
            if again is not None and again.stale:
                failed = None if _ran(run, again) else again.signature
        wait(interval_s)


def _looked(plan: Callable[[], AnyPlan]) -> AnyPlan | None:
    try:
        return plan()
    except GenrePipelineError as error:
        logger.warning("Cannot find out what is stale: %s", error)
        return None


def _ran(run: Callable[[AnyPlan], None], plan: AnyPlan) -> bool:
    try:
        run(plan)
    except GenrePipelineError as error:
        logger.error("%s Nothing is tried again before something has changed.", error)
        return False
    return True

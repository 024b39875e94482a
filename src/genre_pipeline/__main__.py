"""``genre-pipeline``, or ``python -m genre_pipeline``: the commands of the project, also where it is a wheel."""

import gc
import os
import sys
from typing import Any

from genre_pipeline.cli import cli
from genre_pipeline.project import PROJECT_ROOT


def main(*args: Any, **options: Any) -> Any:
    """Run a command.

    Args:
        *args: As for click's commands: the words of the command line, or none for those of this process.
        **options: As for click's commands.
    """
    # A start makes many objects and drops few: looking for what to free takes a tenth of it.
    gc.set_threshold(20_000)
    _open_closed_streams()
    logging = PROJECT_ROOT / "conf" / "logging.yml"
    if logging.is_file():
        # Kedro looks for it below the current folder.
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(logging))
    return cli(*args, **{"prog_name": "genre-pipeline", **options})


def _open_closed_streams() -> None:
    """Open what a shell closed (``>&-``): the next file would get its number, and what is printed."""
    for number, name in enumerate(["stdin", "stdout", "stderr"]):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened > number:
                os.close(opened)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()

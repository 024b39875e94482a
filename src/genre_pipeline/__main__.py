"""``genre-pipeline``, or ``python -m genre_pipeline``: the commands of the project, also where it is a wheel."""

import os
from typing import Any

from genre_pipeline.cli import cli
from genre_pipeline.project import PROJECT_ROOT


def main(*args: Any, **options: Any) -> Any:
    """Run a command.

    Args:
        *args: As for click's commands: the words of the command line, or none for those of this process.
        **options: As for click's commands.
    """
    logging = PROJECT_ROOT / "conf" / "logging.yml"
    if logging.is_file():
        # Kedro looks for it below the current folder.
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(logging))
    return cli(*args, **{"prog_name": "genre-pipeline", **options})


if __name__ == "__main__":
    main()

"""``python -m genre_pipeline``: the commands of the project, also where it is installed as a wheel."""

from typing import Any

from genre_pipeline.cli import cli


def main(*args: Any, **options: Any) -> Any:
    """Run a command.

    Args:
        *args: As for click's commands: the words of the command line, or none for those of this process.
        **options: As for click's commands.
    """
    from kedro.framework.project import configure_project

    configure_project(__package__)
    return cli(*args, **{"prog_name": f"python -m {__package__}", **options})


if __name__ == "__main__":
    main()

"""A line for cron, and a service with its timer for systemd. Both run ``kedro refresh``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from genre_pipeline.ops.scheduling.command import Every, Project

# [?] Half past three: few work then. Not in the hour that clocks repeat or leave out (two to three, in Europe).
_CRON = {"hourly": "0 * * * *", "daily": "30 3 * * *", "weekly": "30 3 * * 1"}
_CALENDAR = {"hourly": "*-*-* *:00:00", "daily": "*-*-* 03:30:00", "weekly": "Mon *-*-* 03:30:00"}
_UNIT = "genre-pipeline-refresh"


def crontab(project: Project, *, every: Every, arguments: Sequence[str] = ()) -> dict[str, str]:
    """Return a line for ``crontab -e``, by its file name.

    Args:
        project: What is run, where.
        every: How often.
        arguments: Further arguments of ``kedro refresh``.

    Example:
        >>> from pathlib import Path
        >>> project = Project(Path("/my music"), Path("/usr/bin/python3"), Path("/my music/refresh.log"))
        >>> print(crontab(project, every="hourly")["genre-pipeline.cron"].splitlines()[-1])
        0 * * * * cd '/my music' && /usr/bin/python3 -m kedro refresh >> '/my music/refresh.log' 2>&1
    """
    words = [f"{name}={shlex.quote(value)}" for name, value in project.variables.items()]
    command = " ".join([*words, shlex.join(project.kedro("refresh", *arguments))])
    line = f"cd {shlex.quote(str(project.root))} && {command} >> {shlex.quote(str(project.log))} 2>&1"
    # cron takes a bare % for the end of the command (crontab(5)).
    escaped = line.replace("%", r"\%")
    head = "# Made by 'kedro schedule --format cron': paste it into what 'crontab -e' opens."
    return {"genre-pipeline.cron": f"{head}\n{_CRON[every]} {escaped}\n"}


def systemd_units(project: Project, *, every: Every, arguments: Sequence[str] = ()) -> dict[str, str]:
    """Return a service and its timer, by their file names. A run that was missed is made up for at the next start.

    Args:
        project: What is run, where.
        every: How often.
        arguments: Further arguments of ``kedro refresh``.
    """
    variables = [f"Environment={_quoted(f'{name}={value}')}" for name, value in project.variables.items()]
    service = [
        "# Made by 'kedro schedule --format systemd'. Copy it and the timer to ~/.config/systemd/user, then:",
        f"#   systemctl --user daemon-reload && systemctl --user enable --now {_UNIT}.timer",
        f"# What it did: journalctl --user -u {_UNIT}",
        "[Unit]",
        "Description=Bring the results of genre_pipeline up to date",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_specifier(str(project.root))}",
        *variables,
        f"ExecStart={' '.join(map(_quoted, project.kedro('refresh', *arguments)))}",
        "Nice=10",
        # A training writes its epoch first.
        "TimeoutStopSec=5min",
    ]
    timer = [
        "[Unit]",
        f"Description=Refresh genre_pipeline ({every})",
        "",
        "[Timer]",
        f"OnCalendar={_CALENDAR[every]}",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{_UNIT}.service": "\n".join([*service, ""]), f"{_UNIT}.timer": "\n".join([*timer, ""])}


def _specifier(text: str) -> str:
    """Keep systemd from reading ``%`` as one of its specifiers (systemd.unit(5))."""
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """Quote a word as systemd reads it (systemd.syntax(7)); ``$`` would name a variable."""
    escaped = _specifier(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'

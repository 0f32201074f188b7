"""What a process sees at a path, read from outside: for checks about mounts."""

from __future__ import annotations

from pathlib import Path

from labkit.linux.views import HostPid


def seen_by(pid: HostPid, path: Path) -> Path:
    """Return the host path of what a process sees at a path."""
    return Path(f"/proc/{pid}/root{path}")


def text_of(path: Path) -> str | None:
    """Return a file's text; None when nothing is there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None  # ENOENT is an answer here


def refusal_of(path: Path) -> int | None:
    """Empty a file; return the errno when Linux refuses, None when it doesn't."""
    try:
        path.write_text("")
    except OSError as refused:
        return refused.errno
    return None

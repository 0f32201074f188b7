"""A step that stands, so that a test can kill somebody meanwhile."""

from __future__ import annotations

from labkit.linux import Linux


def stand(linux: Linux) -> None:
    """Say that it stands, to the container's log, and wait for a word on stdin."""
    linux.write(1, b"standing\n")
    linux.read(0)

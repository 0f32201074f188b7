"""A step that stands for a moment, so that a test can kill somebody meanwhile."""

from __future__ import annotations

import time

from labkit.linux import Linux


def stand(linux: Linux, seconds: float) -> None:
    """Say that it stands, to the container's log, and wait."""
    linux.write(1, b"standing\n")
    time.sleep(seconds)

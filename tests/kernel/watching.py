"""What a test sees of processes and descriptors, and how it waits for a change."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.plan.family import start_time

PATIENCE_S = 20.0  # a program takes ten times as long in the lab VM


def becomes_true(condition: Callable[[], object]) -> bool:
    """Wait until a condition holds; False when it doesn't in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, zombies included."""
    return start_time(pid) is None


def open_files() -> list[str]:
    """Return what this process has open, but for the listing itself."""
    folder = "/proc/self/fd"
    names = (f"{folder}/{fd}" for fd in os.listdir(folder))
    return sorted(os.readlink(name) for name in names if os.path.lexists(name))


def children_of(pid: int) -> list[int]:
    """Return the children of a process, zombies too."""
    return [
        int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


def descendants_of(pid: int) -> list[int]:
    """Return the children of a process, their children, and so on."""
    children = children_of(pid)
    return children + [one for child in children for one in descendants_of(child)]


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C while the block runs, or soon after it."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        yield
    finally:
        timer.join()
        time.sleep(0)  # a signal that came just now is raised here at the latest

"""A learner's code ends in time: what it started is stopped, then killed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from labkit.linux.views import HostPid

_STOPPING_S = 5.0
_STILL = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


@contextmanager
def deadline(inside: HostPid, seconds: float) -> Iterator[threading.Event]:
    """End an inside and all that it started, when the time is over.

    Args: inside [host pid of a child's inside, parked]; seconds [until then].
    Yields: an event that is set when the time was over.
    """
    outside = psutil.Process(inside).parent()
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill_descendants(outside)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _kill_descendants(outside: psutil.Process) -> None:
    # Stopped before killed, in rounds: what still runs may fork, what is stopped can't.
    deadline = time.monotonic() + _STOPPING_S
    while time.monotonic() < deadline:
        running = [one for one in _family(outside) if _status(one) not in _STILL]
        if not running:
            break
        for one in running:
            _signal(one, signal.SIGSTOP)
        time.sleep(0.01)
    # The inside comes last: its end is what the notebook waits for.
    for one in reversed(_family(outside)):
        _signal(one, signal.SIGKILL)


def _family(outside: psutil.Process) -> list[psutil.Process]:
    try:
        return list(outside.children(recursive=True))
    except psutil.NoSuchProcess:
        return []  # the child was stopped meanwhile


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)  # it has ended, and was reaped


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it has ended meanwhile

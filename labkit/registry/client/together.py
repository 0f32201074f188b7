"""Several blobs side by side; what happens to them is told in one thread. Chapter 12.

Reading order: together, Cancelled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable

from labkit.registry.client.progress import Moved, Subscriber

AT_ONCE = 3
_LAST_WAIT_S = 1

Job = Callable[[Subscriber], None]
_Told = queue.SimpleQueue[Moved | BaseException | None]


class Cancelled(Exception):
    """Another blob failed, or the user lost patience: this one stops, too."""


def together(jobs: Iterable[Job], subscriber: Subscriber, at_once: int) -> None:
    """Do jobs in a few threads, and tell the subscriber in this one.

    Raises: what the first failing job raised. The others stop with their next byte;
        one that hears nothing from its registry isn't waited for.
    """
    todo, told = list(jobs), _Told()
    left, stop = len(todo), threading.Event()

    def tell(moved: Moved) -> None:
        if stop.is_set():
            raise Cancelled
        told.put(moved)

    def work() -> None:
        while todo and not stop.is_set():
            told.put(_problem(todo.pop(0), tell))

    count = min(at_once, left)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        _listen(told, left, subscriber)
    finally:
        stop.set()
        for thread in threads:
            thread.join(_LAST_WAIT_S)


def _problem(job: Job, tell: Subscriber) -> BaseException | None:
    try:
        job(tell)
    except BaseException as problem:
        return problem  # raised in the thread that waits for it
    return None


def _listen(told: _Told, left: int, subscriber: Subscriber) -> None:
    # Each job says how far it is, and at its end what went wrong, or None.
    while left:
        said = told.get()
        if isinstance(said, Moved):
            subscriber(said)
            continue
        left -= 1
        if said is not None:
            raise said

"""Several blobs side by side; what happens to them is told in one thread. Chapter 12.

Reading order: together, Cancelled.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from labkit.registry.client.progress import Moved, Subscriber

AT_ONCE = 3

Job = Callable[[Subscriber], None]
_Told = queue.SimpleQueue[Moved | BaseException | None]


class Cancelled(Exception):
    """Another blob failed, or the user lost patience: this one stops, too."""


def together(jobs: Iterable[Job], subscriber: Subscriber, at_once: int) -> None:
    """Do jobs in a few threads, and tell the subscriber in this one.

    Raises: what the first failing job raised, after the others have stopped.
    """
    told: _Told = queue.SimpleQueue()
    stop = threading.Event()

    def tell(moved: Moved) -> None:
        if stop.is_set():
            raise Cancelled
        told.put(moved)

    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(job, tell) for job in jobs]
        for future in running:
            future.add_done_callback(lambda done: told.put(done.exception()))
        try:
            _listen(told, len(running), subscriber)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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

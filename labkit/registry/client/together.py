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


class Cancelled(Exception):
    """Another blob failed, or the user lost patience: this one stops, too."""


def together(jobs: Iterable[Job], subscriber: Subscriber, at_once: int) -> None:
    """Do jobs in a few threads, and tell the subscriber in this one.

    Raises: what the first failing job raised, after the others have stopped.
    """
    told: queue.SimpleQueue[Moved | None] = queue.SimpleQueue()
    stop = threading.Event()

    def tell(moved: Moved) -> None:
        if stop.is_set():
            raise Cancelled
        told.put(moved)

    with ThreadPoolExecutor(at_once) as pool:
        running = [pool.submit(job, tell) for job in jobs]
        for future in running:
            future.add_done_callback(lambda done: told.put(None))
        try:
            left = len(running)
            while left:
                moved = told.get()
                if moved is not None:
                    subscriber(moved)
                    continue
                left -= 1
                for future in running:
                    if future.done() and (problem := future.exception()):
                        raise problem
        except BaseException:
            stop.set()
            for future in running:
                future.cancel()
            raise

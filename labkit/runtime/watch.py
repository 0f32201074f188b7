"""Watch: descriptors, and what is called when one of them is ready. Chapter 09."""

from __future__ import annotations

import select
from collections.abc import Callable

READ, WRITE, GONE = select.POLLIN, select.POLLOUT, select.POLLHUP | select.POLLERR
"""Kinds of news: bytes to read, room to write, the other end has closed."""

OnNews = Callable[[int], None]


class Watch:
    """Wait for many descriptors at once; poll(2) has no limit on their numbers."""

    def __init__(self) -> None:
        self._poll, self._calls = select.poll(), dict[int, OnNews]()

    def on(self, fd: int, call: OnNews, kinds: int = READ) -> None:
        """Call a function with the kinds of news of a descriptor; GONE always counts.

        One that is watched already is watched in this way from now on.
        """
        self._poll.register(fd, kinds)
        self._calls[fd] = call

    def off(self, fd: int) -> None:
        """Forget a descriptor; before it is closed, or its number means another."""
        if self._calls.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def once(self, timeout_s: float | None = None) -> None:
        """Wait until there is news, and pass it on."""
        timeout_ms = None if timeout_s is None else int(timeout_s * 1000)
        for fd, kinds in self._poll.poll(timeout_ms):
            # One call may end the watch of another.
            if fd in self._calls:
                self._calls[fd](kinds)

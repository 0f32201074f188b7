"""A container's three streams: to its log, and to whoever is attached. Chapter 09.

    stdout --,
              >-- log, and a frame to each who is attached
    stderr --'
    stdin  <----- bytes of whoever is attached and may write

Memory is bounded everywhere: when the log is slow, or one who is attached doesn't read,
the pipe fills, and the program waits, as it would for a slow terminal.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial

from labkit.plan.launch import Stdio
from labkit.runtime.attached import Attached
from labkit.runtime.log import Log
from labkit.runtime.watch import GONE, READ, WRITE, Watch

_CHUNK = 64 * 1024
# pipe(7): what a pipe can still hold when its writer ended; a process that the program
# left behind may go on writing for ever.
_PIPE_BYTES = 1024 * 1024
_PATIENCE_S = 2.0


class Streams:
    """The monitor's ends of the pipes; the inside's are `for_the_inside`."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._log: Log | None = None
        stdout, stdout_write = os.pipe()
        stderr, stderr_write = os.pipe()
        stdin_read, self._stdin = os.pipe()
        self.for_the_inside: Stdio = (stdin_read, stdout_write, stderr_write)
        self._names = {stdout: "stdout", stderr: "stderr"}
        self._attached: dict[int, Attached] = {}
        self._to_stdin, self._stdin_ends = bytearray(), False
        for fd in (*self._names, self._stdin):
            os.set_blocking(fd, False)

    def close_the_insides_ends(self) -> None:
        """Close them here, so that end-of-file comes when the container's close."""
        for fd in self.for_the_inside:
            os.close(fd)

    def begin(self, make_log: Callable[[], Log]) -> None:
        """Read what the container writes; a log is made when there is something."""
        self._make_log = make_log
        self._read_on()

    def attach(self, end: socket.socket, *, stdin: bool) -> None:
        """Let somebody have what comes from now on."""
        one = Attached(end, stdin=stdin)
        self._attached[end.fileno()] = one
        self._watch_one(one)

    def finish(self) -> None:
        """Read what an ended program has left, write it, and let everybody go."""
        for fd, name in self._names.items():
            for _ in range(_PIPE_BYTES // _CHUNK):
                if not self._take(fd, name):
                    break
        if self._log is not None:
            self._log.finish()
        for one in self._attached.values():
            one.finish(_PATIENCE_S)

    def close(self) -> None:
        """Close the monitor's ends."""
        for fd in self._names:
            os.close(fd)
        self._close_stdin()

    def _read_on(self) -> None:
        for fd, name in self._names.items():
            self._watch.on(fd, partial(self._hear, fd, name))

    def _hear(self, fd: int, name: str, kinds: int) -> None:
        if not self._take(fd, name):
            self._watch.off(fd)  # end-of-file: nobody has it open for writing
        if any(one.full for one in self._attached.values()):
            for watched in self._names:
                self._watch.off(watched)

    def _take(self, fd: int, name: str) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False  # EAGAIN: nothing is there now
        if data:
            self._log = self._log or self._make_log()
            self._log.add(name, data)
        for one in list(self._attached.values()) if data else ():
            one.add(name, data)
            self._flush(one)
        return bool(data)

    def _flush(self, one: Attached) -> None:
        was_full = one.full
        if not one.flush():
            self._let_go(one)
        else:
            self._watch_one(one)
        if was_full and not one.full:
            self._read_on()

    def _watch_one(self, one: Attached) -> None:
        hears = READ if one.stdin and not self._to_stdin else 0
        kinds = hears | (WRITE if one.pending else 0)
        self._watch.on(
            one.socket.fileno(), lambda news: self._news_of(one, news), kinds
        )

    def _news_of(self, one: Attached, kinds: int) -> None:
        if kinds & READ:
            self._hear_one(one, gone=bool(kinds & GONE))
            return
        if kinds & WRITE and one.socket.fileno() >= 0:
            self._flush(one)
        if kinds & GONE and one.socket.fileno() >= 0:
            self._let_go(one)

    def _hear_one(self, one: Attached, *, gone: bool) -> None:
        data = one.socket.recv(_CHUNK)
        self._to_stdin += data
        if not data and gone:
            self._let_go(one)
            return
        if not data:  # it writes no more, and may go on reading
            one.stdin, self._stdin_ends = False, True
        self._feed()
        self._watch_one(one)

    def _feed(self, kinds: int = WRITE) -> None:
        if self._stdin < 0:
            self._to_stdin.clear()
            return
        try:
            while self._to_stdin:
                del self._to_stdin[: os.write(self._stdin, self._to_stdin)]
        except BlockingIOError:
            self._watch.on(self._stdin, self._feed, WRITE)
            return  # EAGAIN: when it has read
        except BrokenPipeError:
            self._close_stdin()  # EPIPE: the program reads no more
        self._watch.off(self._stdin)
        if self._stdin_ends:
            self._close_stdin()
        for one in self._attached.values():
            self._watch_one(one)

    def _close_stdin(self) -> None:
        if self._stdin >= 0:
            self._watch.off(self._stdin)
            os.close(self._stdin)
        self._stdin = -1
        self._to_stdin.clear()

    def _let_go(self, one: Attached) -> None:
        self._watch.off(one.socket.fileno())
        del self._attached[one.socket.fileno()]
        one.socket.close()
        self._read_on()  # it may have been the one that all waited for

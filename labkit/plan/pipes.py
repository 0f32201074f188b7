"""The three pipes between a notebook and a command inside."""

from __future__ import annotations

import contextlib
import os
import select
from types import TracebackType
from typing import Self

from labkit.plan.channel import Channel
from labkit.plan.interrupts import uninterrupted
from labkit.text import Text

MOST_BYTES = 16 * 1024 * 1024
"""How much of each stream is kept; what comes after it is counted and thrown away."""

_CHUNK = 65536
# pipe(7), /proc/sys/fs/pipe-max-size: what a pipe can still hold when its writer ended.
_PIPE_BYTES = 1024 * 1024


class Pipes:
    """stdin, stdout and stderr of a command; the child's ends go to the child."""

    def __init__(self, stdin: str) -> None:
        self.for_the_child: list[int] = []
        self._open: set[int] = set()
        self._to_write = stdin.encode(errors="surrogateescape")
        with uninterrupted():
            stdin_read, self._stdin = os.pipe()
            self._stdout, stdout_write = os.pipe()
            self._stderr, stderr_write = os.pipe()
            self.for_the_child += [stdin_read, stdout_write, stderr_write]
            self._open |= {self._stdin, self._stdout, self._stderr}
        self._said = {self._stdout: _Said(), self._stderr: _Said()}
        os.set_blocking(self._stdin, False)
        if not self._to_write:
            self._close(self._stdin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close_all()

    def __del__(self) -> None:
        self._close_all()  # an interrupt may come before the with statement begins

    def close_the_childs_ends(self) -> None:
        """Close them here, so that end-of-file comes when the child's copies close."""
        with uninterrupted():
            while self.for_the_child:
                os.close(self.for_the_child.pop())

    def pump(self, channel: Channel | None, timeout_s: float | None) -> bool:
        """Move bytes once; return whether a message waits on the channel."""
        readers = [fd for fd in self._said if fd in self._open]
        writers = [self._stdin] if self._stdin in self._open else []
        watched: list[Channel | int] = [*readers, *([channel] if channel else [])]
        ready, writable, _ = select.select(watched, writers, [], timeout_s)
        for fd in readers:
            if fd in ready:
                self._read(fd)
        if writable:
            self._write()
        return channel in ready

    def drain(self) -> None:
        """Read what an ended command has left in its pipes.

        Not until end-of-file: what it started may keep the pipes open, or go on
        writing for ever.
        """
        for fd in self._said.keys() & self._open:
            for _ in range(_PIPE_BYTES // _CHUNK):
                if fd in self._open and select.select([fd], [], [], 0)[0]:
                    self._read(fd)

    def texts(self) -> tuple[Text, Text]:
        """Return stdout and stderr as text."""
        return self._said[self._stdout].text(), self._said[self._stderr].text()

    def _read(self, fd: int) -> None:
        part = os.read(fd, _CHUNK)
        if part:
            self._said[fd].add(part)
        else:
            self._close(fd)

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # the command doesn't want its stdin
            count = os.write(self._stdin, self._to_write[:_CHUNK])
            self._to_write = self._to_write[count:]
            if self._to_write:
                return
        self._close(self._stdin)

    def _close_all(self) -> None:
        self.close_the_childs_ends()
        for fd in list(self._open):
            self._close(fd)

    def _close(self, fd: int) -> None:
        with uninterrupted():
            self._open.discard(fd)
            os.close(fd)


class _Said:
    # What came out of one pipe. A program that never stops must not fill the memory.
    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = self._lost = 0

    def add(self, part: bytes) -> None:
        if self._bytes < MOST_BYTES:
            self._parts.append(part)
            self._bytes += len(part)
        else:
            self._lost += len(part)

    def text(self) -> Text:
        said = b"".join(self._parts).decode(errors="replace")
        return Text(said + (f"\n... and {self._lost} bytes more" * bool(self._lost)))

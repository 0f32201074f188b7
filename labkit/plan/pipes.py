"""The three pipes between a notebook and a command inside."""

from __future__ import annotations

import contextlib
import os
import select
from types import TracebackType
from typing import Self

from labkit.plan.channel import Channel
from labkit.text import Text

_CHUNK = 65536
_GRACE_S = 0.2  # for output of a command whose background job keeps its pipe open


class Pipes:
    """stdin, stdout and stderr of a command; the child's ends go to the child."""

    def __init__(self, stdin: str) -> None:
        stdin_read, self._stdin = os.pipe()
        self._stdout, stdout_write = os.pipe()
        self._stderr, stderr_write = os.pipe()
        self.for_the_child = [stdin_read, stdout_write, stderr_write]
        self._to_write = stdin.encode()
        self._said: dict[int, list[bytes]] = {self._stdout: [], self._stderr: []}
        self._open = {self._stdin, self._stdout, self._stderr}
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
        self.close_the_childs_ends()
        for fd in list(self._open):
            self._close(fd)

    def close_the_childs_ends(self) -> None:
        """Close them here, so that end-of-file comes when the child's copies close."""
        for fd in self.for_the_child:
            os.close(fd)
        self.for_the_child = []

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
        """Read what is left until end-of-file, or until nothing comes for a moment."""
        while any(fd in self._open for fd in self._said):
            before = [len(parts) for parts in self._said.values()]
            self.pump(None, _GRACE_S)
            still_open = any(fd in self._open for fd in self._said)
            if still_open and before == [len(parts) for parts in self._said.values()]:
                return

    def texts(self) -> tuple[Text, Text]:
        """Return stdout and stderr as text."""
        out, err = (b"".join(self._said[fd]) for fd in (self._stdout, self._stderr))
        return Text(out.decode(errors="replace")), Text(err.decode(errors="replace"))

    def _read(self, fd: int) -> None:
        part = os.read(fd, _CHUNK)
        if part:
            self._said[fd].append(part)
        else:
            self._close(fd)

    def _write(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # the command doesn't want its stdin
            count = os.write(self._stdin, self._to_write[:_CHUNK])
            self._to_write = self._to_write[count:]
            if self._to_write:
                return
        self._close(self._stdin)

    def _close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

r"""The log of a container: what it wrote, one JSON object a line. Chapter 09.

    {"log":"hello\n","stream":"stdout","time":"2026-11-24T12:00:00.123456789Z"}

Docker's form (json-file). Its memory is bounded: a line without end is written in
pieces, of which only the last ends with a newline. Its size is bounded, too: when the
log has grown to its half, it becomes the older one, and a new one begins.

What is no UTF-8 stays what it was: read the log with Python's json, then encode with
"surrogateescape".
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

from labkit.linux.views import HostPath

FILE, OLDER = "log", "log.1"
LONGEST = 16 * 1024
"""Bytes of a piece: Docker's number."""


class Log:
    """A log that is being written.

    Args: directory [host path]; most_bytes [of both files together].
    """

    def __init__(self, directory: HostPath, most_bytes: int) -> None:
        self._path, self._older = f"{directory}/{FILE}", f"{directory}/{OLDER}"
        self._most_bytes = most_bytes
        self._fd, self._size = -1, 0  # opened when there is something to write
        self._pending = {"stdout": b"", "stderr": b""}

    def add(self, stream: str, data: bytes) -> None:
        """Write what came; keep a line that isn't finished for later."""
        *whole, rest = (self._pending[stream] + data).split(b"\n")
        pieces = [piece for line in whole for piece in _pieces(line + b"\n")]
        full = len(rest) - len(rest) % LONGEST
        pieces += _pieces(rest[:full])
        self._pending[stream] = rest[full:]
        self._write(stream, pieces)

    def finish(self) -> None:
        """Write what is left, and close."""
        for stream, rest in self._pending.items():
            self._write(stream, [rest] if rest else [])
        if self._fd >= 0:
            os.close(self._fd)

    def _write(self, stream: str, pieces: list[bytes]) -> None:
        if not pieces:
            return
        if self._fd < 0:
            self._fd = self._open()
            self._size = os.fstat(self._fd).st_size
        now = _rfc3339(time.time_ns())
        entries, size = list[bytes](), 0
        for entry in (_entry(stream, piece, now) for piece in pieces):
            if self._size + size + len(entry) > self._most_bytes // 2:
                self._flush(entries)
                entries, size = [], 0
                self._turn()
            entries.append(entry)
            size += len(entry)
        self._flush(entries)

    def _flush(self, entries: list[bytes]) -> None:
        data = b"".join(entries)
        os.write(self._fd, data)
        self._size += len(data)

    def _turn(self) -> None:
        os.close(self._fd)
        os.rename(self._path, self._older)
        self._fd, self._size = self._open(), 0

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640)


def entries_in(directory: HostPath) -> Iterator[dict[str, str]]:
    """Yield the log's entries, oldest first.

    Args: directory [host path of the container's].
    """
    for name in (OLDER, FILE):
        try:
            with open(f"{directory}/{name}", encoding="utf-8") as file:
                yield from map(json.loads, file)
        except FileNotFoundError:
            continue  # nothing was written yet, or not enough for two


def _pieces(line: bytes) -> list[bytes]:
    return [line[at : at + LONGEST] for at in range(0, len(line), LONGEST)]


def _entry(stream: str, piece: bytes, now: str) -> bytes:
    text = json.dumps(piece.decode("utf-8", "surrogateescape"))
    return f'{{"log":{text},"stream":"{stream}","time":"{now}"}}\n'.encode()


def _rfc3339(now_ns: int) -> str:
    seconds, ns = divmod(now_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ns:09d}Z"

"""The start gate's two fifos: made by create, opened by start. Chapter 09.

    start.fifo      one byte in it: go on
    answer.fifo     end-of-file: a program sits in the container; before it, an error

Light: `start` is a command of its own, and waits for no import that it doesn't need.
"""

from __future__ import annotations

import errno
import json
import os

from labkit.errors import LabError, StateError, error_from_json
from labkit.values import dataclass

_START, _ANSWER = "start.fifo", "answer.fifo"


@dataclass(frozen=True, slots=True)
class StartGate:
    """Two descriptors for the step AwaitStart; both close on exec."""

    start_fd: int
    answer_fd: int

    def close(self) -> None:
        """Close this process's own copies."""
        os.close(self.start_fd)
        os.close(self.answer_fd)


def make(directory: str) -> StartGate:
    """Make the fifos, and open both.

    Args: directory [host path, the container's state directory].
    Raises: FileExistsError when there is a gate already.
    """
    for name in (_START, _ANSWER):
        os.mkfifo(f"{directory}/{name}", 0o600)
    # For reading and writing, because opening one end alone waits for the other.
    start, answer = (_open(directory, name, os.O_RDWR) for name in (_START, _ANSWER))
    return StartGate(start, answer)


def is_closed(directory: str) -> bool:
    """Say whether a gate is there that nobody has opened yet."""
    return os.path.exists(f"{directory}/{_START}")


def open_gate(directory: str) -> None:
    """Let the container's first process go on; return when it is a program.

    Args: directory [host path, the container's state directory].
    Raises: what a later step of the plan raised; StateError when the gate has been
        opened before, or nobody waits at it any more.
    """
    answer = _opened(directory, _ANSWER, os.O_RDONLY | os.O_NONBLOCK)
    start = _opened(directory, _START, os.O_WRONLY | os.O_NONBLOCK)
    try:
        # The name is the claim: only one of two who start at once can remove it.
        os.unlink(f"{directory}/{_START}")
        os.set_blocking(answer, True)
        os.write(start, b"!")
        told = _read_to_the_end(answer)
        os.unlink(f"{directory}/{_ANSWER}")
    except FileNotFoundError:
        raise _not_waiting() from None
    finally:
        os.close(start)
        os.close(answer)
    if told:
        raise _error(told)


def _opened(directory: str, name: str, flags: int) -> int:
    try:
        return _open(directory, name, flags)
    except OSError as refused:
        if refused.errno in (errno.ENOENT, errno.ENXIO):  # ENXIO: no reader is left
            raise _not_waiting() from None
        raise


def _open(directory: str, name: str, flags: int) -> int:
    return os.open(f"{directory}/{name}", flags | os.O_CLOEXEC)


def _read_to_the_end(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def _error(told: bytes) -> LabError:
    return error_from_json(json.loads(told))


def _not_waiting() -> StateError:
    return StateError(
        "the container doesn't wait to be started",
        "look at its state: it has been started before, or has ended",
    )

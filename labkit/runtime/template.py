"""The template: a process that only sleeps, and is copied. Chapter 09.

    fork server ---- template     waits for a byte, makes a copy of itself, sleeps on
               `---- monitor      the copy: the fork server's child, not the template's

Two processes share a page until one of them writes into it; then the other has it for
itself. A fork server does something at each turn, and Python writes wherever it reads:
a copy of it that only waits soon has half a megabyte more alone, and one that became a
container's monitor, which has written into most of that itself, a twentieth more.
Nobody pays for what is shared with a process that sleeps.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import NoReturn

from labkit.linux.flags import CLONE
from labkit.linux.structs import CloneArgs
from labkit.linux.syscalls import Linux
from labkit.plan.family import end_with
from labkit.plan.inside import name_this_process

COPY = CloneArgs(CLONE(0), signal.SIGCHLD)
"""How a process is copied. Not by os.fork, which puts in order what only threads could
disturb, and uses many pages for that."""

# A sibling tells its end as its maker does: clone(2), CLONE_PARENT.
_SIBLING = CloneArgs(CLONE.PARENT, 0)
_PID = struct.Struct("=i")


class Template:
    """A template of this process, and the two pipes to it.

    Args: become [what a copy does, which gets its `linux`; it never returns].
    """

    def __init__(self, become: Callable[[Linux], NoReturn]) -> None:
        self._become, self._linux = become, Linux(forked=True)
        self.pid = 0
        self._ask, self._answers = -1, -1

    def start(self) -> None:
        """Make it of what this process is now."""
        for fd in (self._ask, self._answers):
            if fd >= 0:
                os.close(fd)
        asked, self._ask = os.pipe()
        self._answers, answer = os.pipe()
        server = os.getpid()
        self.pid = self._linux.clone3(COPY)
        if self.pid == 0:
            os.close(self._ask)
            os.close(self._answers)
            self._sleep(server, asked, answer)
        os.close(asked)
        os.close(answer)

    def copy(self) -> int:
        """Return the pid of one more copy, a child of this process.

        A template that was killed is made anew.
        """
        for _ in range(2):
            with contextlib.suppress(BrokenPipeError):
                os.write(self._ask, b"!")
            if answer := os.read(self._answers, _PID.size):
                return int(_PID.unpack(answer)[0])
            self.start()
        raise ChildProcessError("the template ends as soon as it is made")

    def _sleep(self, server: int, asked: int, answer: int) -> NoReturn:
        linux = self._linux
        try:
            name_this_process("labkit:template")
            end_with(server, linux)
            while os.read(asked, 1):
                if (pid := linux.clone3(_SIBLING)) == 0:
                    os.close(asked)
                    os.close(answer)
                    self._become(linux)
                os.write(answer, _PID.pack(pid))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)

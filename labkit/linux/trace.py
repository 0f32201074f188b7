"""The recorder: the same interface as `Linux`, and no effect.

Used where a plan is rehearsed: to print what it would do, to judge order and arguments
with no privilege, and to draw a plan before it runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from typing import Any

from labkit.linux.call import Call
from labkit.linux.syscalls import Linux
from labkit.linux.table import TABLE
from labkit.linux.views import HostPid

_ANSWERS: dict[str, Any] = {
    "read": b"",
    "readlink": "",
    "readlinkat": "",
    "waitpid": (1, 0),
    "fork": 0,  # the rehearsal goes on as the child
    "getpid": 1,
    "getcwd": "/",
    "poll": 1,
    "access": True,
    "getdents": [],
    "fstat": os.stat_result((0o20666, *[0] * 9), {"st_rdev": os.makedev(1, 3)}),
    "fstatat": os.stat_result((0o40755, *[0] * 9)),
    "sigprocmask": set(),
}
_OPENS = (
    "open",
    "memfd_create",
    "connect",
    "openat2",
    "pidfd_open",
    "open_tree",
    "fsopen",
    "fsmount",
)


class Recorder(Linux):
    """Writes every call down and makes none; descriptors are numbers from 3 up."""

    def __init__(
        self,
        inside: HostPid | None = HostPid(1),
        files: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(inside)
        self.calls: list[Call] = []
        self.files = dict(files or {})
        self._next_fd = count(3)
        self._unread: dict[int, bytes] = {}

    def _call(self, name: str, *arguments: Any) -> Any:
        self.calls.append(Call(name, TABLE[name].text(arguments)))
        if name in _OPENS:
            fd = next(self._next_fd)
            self._unread[fd] = self.files.get(str(arguments[0]), "").encode()
            return fd
        if name == "read":
            return self._unread.pop(arguments[0], b"")
        if name == "write":
            return len(arguments[1])
        return _ANSWERS.get(name, 0)

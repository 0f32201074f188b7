"""The one path that every system call takes, and the record that it leaves."""

from __future__ import annotations

from functools import partial
from typing import Any

from labkit.errors import syscall_error
from labkit.linux.table import TABLE
from labkit.linux.views import HostPid
from labkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that was made: as in C, its duration, its errno if it failed."""

    name: str
    text: str
    duration_us: float = 0.0
    error: str | None = None

    def __repr__(self) -> str:
        return f"{self.text}: {self.error}" if self.error else self.text

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "text": self.text,
            "duration_us": self.duration_us,
            "error": self.error,
        }


class Caller:
    """What `Processes`, `Mounting` and `Files` have in common: one way down."""

    inside: HostPid | None = None
    """For a step that runs outside: the pid of the process that the plan changes."""

    def _call(self, name: str, *arguments: Any) -> Any:
        row = TABLE[name]
        try:
            return row.function(*arguments)
        except OSError as error:
            told = partial(row.text, arguments)
            raise syscall_error(told, error.errno or 0) from None

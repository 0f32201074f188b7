"""Handle: what the kernel or the disk keeps after a step, found again by name.

Before a handle is acquired, a record of it is written: its kind, its name, what its
removal needs, and its owner (pid and start time, because a pid alone is used again).
`labkit sweep` removes what has a dead owner.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, ClassVar, Self

from labkit import state
from labkit.errors import DocumentError, StateError
from labkit.linux.views import HostPath
from labkit.plan.family import start_time
from labkit.values import dataclass

UNREADABLE = "record"
"""The kind of a record that can't be read; it has no owner."""

_FOLDER = "handles"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Handle(ABC):
    """Something with a name that can be removed, twice if need be."""

    kind: ClassVar[str]
    name: str

    @abstractmethod
    def remove(self) -> None:
        """Undo the handle and forget its record. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.remove()
        except Exception as problem:
            if error is None:
                raise
            # The first error is the one to read; the failed clean-up is a note to it.
            error.add_note(f"and removing {self.name} failed: {problem}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


@dataclass(frozen=True, slots=True)
class Record:
    """A handle's record on disk."""

    path: HostPath
    kind: str
    name: str
    undo: dict[str, Any]
    owner_pid: int
    owner_start: int  # clock ticks after boot, field 22 of /proc/PID/stat

    @property
    def owner_alive(self) -> bool:
        return start_time(self.owner_pid) == self.owner_start != 0

    @property
    def ours(self) -> bool:
        return self.owner_pid == os.getpid() and self.owner_alive

    def update(self, undo: dict[str, Any]) -> None:
        """Write what the removal needs now."""
        record(self.kind, self.name, undo, durable=False, owner=self.owner_pid)

    def forget(self) -> None:
        """Remove the record; the handle is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def record(
    kind: str,
    name: str,
    undo: dict[str, Any],
    *,
    durable: bool = True,
    owner: int | None = None,
) -> Record:
    """Write down a handle that this process is about to acquire.

    Args: undo [JSON-able, what removal needs]; durable [False for what a power cut ends
        anyway]; owner [host pid of the process whose it is; None for this one].
    Raises: DocumentError for a name that can't be a file's; HostError when the state
        directory can't be written.
    """
    me = owner or os.getpid()
    kept = Record(_path(kind, name), kind, name, undo, me, start_time(me) or 0)
    fields = {
        k: getattr(kept, k)
        for k in ("kind", "name", "undo", "owner_pid", "owner_start")
    }
    state.write(kept.path, json.dumps(fields), durable=durable)
    return kept


def records() -> tuple[Record, ...]:
    """Return every record in the state directory, sorted by kind and name."""
    folder = os.path.join(state.location(), _FOLDER)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    mine = sorted(one for one in names if one.endswith(".json") and one[0] != ".")
    paths = (HostPath(os.path.join(folder, one)) for one in mine)
    return tuple(found for path in paths if (found := _read(path)) is not None)


def find(kind: str, name: str) -> Record | None:
    """Return the record of a handle, or None when there is none."""
    return _read(_path(kind, name))


def take_over(kind: str, name: str) -> Record | None:
    """Return the record of a handle of that name if it may be replaced.

    It may when this process owns it (the cell was run again) or its owner is dead.

    Raises: StateError when another living process owns it.
    """
    found = _read(_path(kind, name))
    if found is None or found.ours or not found.owner_alive:
        return found
    raise StateError(
        f"{kind} {name!r} belongs to another running notebook",
        "choose another name, or shut that notebook down",
    )


def checked_name(kind: str, name: str) -> str:
    """Return a name that can be a file's, too.

    Raises: DocumentError for another.
    """
    if not _NAME.fullmatch(name):
        raise DocumentError(
            f"{kind} {name!r}: not a name",
            "use letters, digits, and . _ - after the first",
            meaning="it becomes the name of a file, a directory or a cgroup",
        )
    return name


def _path(kind: str, name: str) -> HostPath:
    file_name = f"{kind}-{checked_name(kind, name)}.json"
    return HostPath(os.path.join(state.directory(_FOLDER), file_name))


def _read(path: HostPath) -> Record | None:
    try:
        with open(path, "rb") as file:
            return Record(path, **json.loads(file.read()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        # Half written before a power cut, or not ours: nobody owns it.
        stem = os.path.basename(path).removesuffix(".json")
        return Record(path, UNREADABLE, stem, {}, 0, 0)

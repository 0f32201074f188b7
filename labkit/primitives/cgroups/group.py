"""Group: a cgroup that is there, to be looked at. Nothing here changes it. Chapter 03.

    box.read("memory.events")     a file, as Linux writes it
    box.read("memory")            a limit's value
    box.snapshot()                everything that is counted, in one value
    box.pids()                    who is in it
    box.path("memory")            its directory

Reading order as above.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from labkit.errors import DocumentError, HostError, syscall_error
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath, HostPid
from labkit.primitives.cgroups.ending import pids_in
from labkit.primitives.cgroups.forms import Value
from labkit.primitives.cgroups.hierarchy import Hierarchy, controller_of
from labkit.primitives.cgroups.knobs import COUNTERS, LIMITS, Knob, knob
from labkit.primitives.cgroups.reading import CgroupReading

_ENOUGH = 65536  # the longest of these files, io.stat, has a line for each disk


class _Counter(NamedTuple):
    name: str
    paths: tuple[str, ...]
    decode: Callable[..., Value]


class Group:
    """A cgroup, by its name and the hierarchy that it lies in."""

    def __init__(self, name: str, hierarchy: Hierarchy) -> None:
        self.name, self.hierarchy = name, hierarchy
        self._counters: tuple[_Counter, ...] = ()

    def path(self, controller: str = "") -> HostPath:
        """Return the directory of a controller; in v2 all have the same one.

        Args: controller ["memory" and so on; "" for the first].
        Returns: host path.
        Raises: HostError when the machine lacks the controller.
        """
        if not controller:
            return self.hierarchy.directories(self.name)[0]
        found = self.hierarchy.directory(self.name, controller)
        if found is None:
            raise HostError(
                f"controller {controller!r}: none here is yours to change",
                "run `labkit doctor`: it shows which controllers there are",
                "cgroups(7)",
                meaning="without its controller, nothing of the kind is limited",
            )
        return found

    def file(self, limit: str) -> HostPath:
        """Return the file that holds a limit, where this machine has it.

        Args: limit [a name of the table, as "memory"].
        Returns: host path; the last one where a limit has two files.
        Raises: DocumentError for an unknown name; HostError without the controller.
        """
        name = self.hierarchy.column(knob(limit)).files[-1]
        return HostPath(f"{self.path(controller_of(name))}/{name}")

    def read(self, name: str) -> Value | str:
        """Return a limit's value, or a file's text.

        Args: name [a limit of the table, as "memory"; or a file, as "memory.events"].
        Raises: ENOENT for a file that this Linux doesn't have, or when the group is
            gone; DocumentError for a name that is neither.
        Needs: nothing.
        Kernel: cgroups(7).
        """
        limit = next((row for row in LIMITS if row.name == name), None)
        if limit is not None:
            return self._value(limit)
        if "." in name and "/" not in name:
            return self._text(name)
        names = ", ".join(row.name for row in LIMITS)
        raise DocumentError(
            f"{name!r} is no limit and no file of a cgroup",
            f'read("memory.events"), or a limit: {names}',
            "cgroups(7)",
            meaning="a file's name begins with its controller's and a dot",
        )

    def pids(self) -> tuple[HostPid, ...]:
        """Return the processes in the group and below it, as this host counts."""
        return pids_in(self.hierarchy.directories(self.name))

    def snapshot(self) -> CgroupReading:
        """Read every counter once; quick enough for ten times a second.

        Raises: ENOENT or ENODEV when the group is gone.
        Needs: nothing.
        Kernel: Documentation/admin-guide/cgroup-v2.rst; cgroup-v1/memory.rst.
        """
        self._counters = self._counters or self._find_counters()
        now_s, texts, read = time.monotonic(), dict[str, str](), dict[str, Value]()
        for counter in self._counters:
            for path in counter.paths:
                if path not in texts:  # cpu.stat has three counters
                    texts[path] = _read_at_once(path)
            read[counter.name] = counter.decode(*(texts[p] for p in counter.paths))
        # memory.peak came with Linux 5.19: before it, nobody keeps the peak.
        read.setdefault("memory_peak_bytes", read.get("memory_bytes", 0))
        # The rows of the table have the names of the fields.
        return CgroupReading(now_s, **read)  # type: ignore[arg-type]

    def _value(self, knob: Knob) -> Value:
        column = self.hierarchy.column(knob)
        return column.form.decode(*map(self._text, column.files))

    def _text(self, file: str) -> str:
        # "cgroup.procs" and its like are in every directory of the group.
        own = "" if file.startswith("cgroup.") else controller_of(file)
        return Linux().read_file(f"{self.path(own)}/{file}").rstrip("\n")

    def _find_counters(self) -> tuple[_Counter, ...]:
        # First, because a group that is gone has no counters either.
        _read_at_once(f"{self.path()}/cgroup.procs")
        columns = [(row.name, self.hierarchy.column(row)) for row in COUNTERS]
        found = [
            _Counter(name, self._paths(column.files), column.form.decode)
            for name, column in columns
        ]
        return tuple(one for one in found if one.paths and os.path.exists(one.paths[0]))

    def _paths(self, files: tuple[str, ...]) -> tuple[str, ...]:
        owners = [self.hierarchy.directory(self.name, controller_of(f)) for f in files]
        return tuple(f"{d}/{f}" for d, f in zip(owners, files, strict=True) if d)


def _read_at_once(path: str) -> str:
    # Plain calls, because a meter makes a dozen of these ten times a second.
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _ENOUGH).decode().rstrip("\n")
        finally:
            os.close(fd)
    except OSError as refused:
        raise syscall_error(f'open("{path}", O_RDONLY)', refused.errno or 0) from None

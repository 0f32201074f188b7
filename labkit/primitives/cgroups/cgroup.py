"""Cgroup: a group of processes with limits, as a handle. Chapter 03.

    with Cgroup.create("box") as box:
        box.limit(memory="256M", swap=0)      returns what Linux says it has
        plan = Plan(box.join(), Exec([...]))
        ...
        box.cause(child.wait())               "killed by SIGKILL: it touched more ..."

Reading order: create and find, limit, attach and join, freeze and kill, cause, remove.
What only looks is in group.py; a machine without cgroups has no_cgroup.py.
"""

from __future__ import annotations

import os
import re
from typing import ClassVar, Self, Unpack

from labkit.errors import DocumentError, StateError, SyscallError, WrongProcess
from labkit.host import Host, probe
from labkit.linux.syscalls import Linux
from labkit.plan import handle
from labkit.plan.events import Exit
from labkit.plan.handle import Handle, Record
from labkit.plan.step import Step
from labkit.primitives.cgroups.causes import cause_of
from labkit.primitives.cgroups.ending import (
    PATIENCE_S,
    end_processes,
    remove_directories,
    rounds,
)
from labkit.primitives.cgroups.group import Group
from labkit.primitives.cgroups.hierarchy import (
    Hierarchy,
    controller_of,
    hierarchy_from_json,
    hierarchy_of,
    names_in,
)
from labkit.primitives.cgroups.knobs import FREEZE, LIMITS, knob
from labkit.primitives.cgroups.limits import Limits, Wanted
from labkit.primitives.cgroups.reading import CgroupReading
from labkit.primitives.cgroups.steps import JoinCgroup

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Cgroup(Group, Handle):
    """A group of our own: it can be limited, joined, frozen, killed and removed."""

    kind: ClassVar[str] = "cgroup"

    def __init__(
        self, name: str, hierarchy: Hierarchy, record: Record | None = None
    ) -> None:
        super().__init__(name, hierarchy)
        self._record = record
        self._before = CgroupReading(0.0)  # the counters before what cause() explains
        self._killed = self._removed = False

    @classmethod
    def create(cls, name: str, host: Host | None = None) -> Self:
        """Make a group; an own one of that name is replaced, as when a cell runs again.

        Args: name [letters, digits, "_", "." and "-"]; host [the probe's; None probes].
        Returns: the handle. On disk before the first mkdir: what its removal needs.
        Raises: HostError when this user may make no cgroup; StateError when another
            running notebook owns the name; EEXIST when the name is taken without a
            record; EBUSY when the parent holds processes (v2).
        Needs: write permission in the parent: root, or a delegated cgroup (v2).
        Kernel: mkdir(2), cgroups(7). Spec: OCI runtime, linux.cgroupsPath.
        """
        if not _NAME.fullmatch(name):
            raise DocumentError(
                f"{name!r} is no name for a cgroup",
                'a name like "box1": letters, digits, "_", "." and "-"',
                meaning="the name becomes a directory's name",
            )
        hierarchy = hierarchy_of(host or probe())
        if (old := handle.take_over(cls.kind, name)) is not None:
            cls.of_record(old).remove()
        record = handle.record(cls.kind, name, hierarchy.to_json(), durable=False)
        try:
            hierarchy.make(Linux(), name)
        except SyscallError:
            record.forget()  # nothing was made
            raise
        return cls(name, hierarchy, record)

    @classmethod
    def of_record(cls, record: Record) -> Self:
        """Return the group that a record on disk tells of: how a sweep removes it."""
        return cls(record.name, hierarchy_from_json(record.undo), record)

    @classmethod
    def all(cls, host: Host) -> tuple[Self, ...]:
        """Return every group with the lab's prefix, with its record if it has one."""
        hierarchy = hierarchy_of(host)
        known = {one.name: one for one in handle.records() if one.kind == cls.kind}
        return tuple(cls(n, hierarchy, known.get(n)) for n in names_in(hierarchy))

    def limit(self, **wanted: Unpack[Wanted]) -> Limits:
        """Set limits, one write(2) each; return what was read back from Linux.

        All are checked before the first is written. v2 takes a memory limit below what
        is used and then reclaims or kills; v1 reclaims first and refuses what is left.

        Args: memory [bytes, or "256M"]; swap [bytes; in v1 only 0]; cpu [CPUs, as 0.5];
            weight [1 to 10000, None is 100]; pids [count]; io [IoLimit]. None lifts a
            limit; what isn't named stays.
        Returns: the limits that were named, as Linux has them now: whole pages, say.
        Raises: DocumentError for a value that can't be understood; EBUSY below the
            usage (v1); ENOENT or HostError without the controller; ENODEV when an I/O
            limit's disk takes none.
        Needs: write permission in the group.
        Kernel: cgroups(7). Spec: OCI runtime, linux.resources.
        """
        columns = {name: self.hierarchy.column(knob(name)) for name in wanted}
        texts = {name: columns[name].form.encode(wanted[name]) for name in columns}  # type: ignore[literal-required]
        for name, column in columns.items():
            for file, text in zip(column.files, texts[name], strict=True):
                self._write(file, text)
        return self._read_back(tuple(columns))

    @property
    def limits(self) -> Limits:
        """Every limit that this machine has files for, as Linux has it now."""
        names = (row.name for row in LIMITS)
        return self._read_back(tuple(name for name in names if self._has(name)))

    def attach(self, pid: int) -> None:
        """Move a process into the group, from outside; its threads go with it.

        Args: pid [host pid, not this notebook's own].
        Raises: ESRCH when it has ended; EACCES, EBUSY, ENOSPC as for JoinCgroup;
            WrongProcess for the notebook itself, which a kill would end.
        Needs: write permission in the group; in v2 also in the common ancestor.
        Kernel: cgroups(7).
        """
        if pid == os.getpid():
            raise WrongProcess(
                "attach: not this process",
                "attach a child: box.attach(child.pid)",
                meaning="the group's limits, and its kill(), would reach the notebook",
            )
        self._remember()
        for directory in self.hierarchy.directories(self.name):
            Linux().write_file(f"{directory}/cgroup.procs", str(pid))

    def join(self) -> Step:
        """Return the step by which the inside moves itself into the group."""
        self._remember()
        return JoinCgroup(self.name, self.hierarchy.directories(self.name))

    def freeze(self) -> None:
        """Stop every process of the group where it is, until thaw().

        Raises: StateError when one can't be stopped in time: it waits for a device.
        Needs: write permission in the group.
        Kernel: cgroup.freeze since Linux 5.2; v1: freezer-subsystem.rst.
        """
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let the processes go on, as if nothing had happened."""
        self._set_frozen(False)

    def kill(self) -> None:
        """Kill every process of the group, and wait until none is left.

        Raises: StateError when one is still there after seconds.
        Needs: write permission in the group; CAP_KILL for others' processes (v1).
        Kernel: cgroup.kill since Linux 5.14; before it, and in v1, SIGKILL to each.
        """
        self._killed = bool(self.pids())
        linux, directories = Linux(), self.hierarchy.directories(self.name)
        end_processes(directories, lambda: self.hierarchy.end(linux, self.name))

    def cause(self, ended: Exit, since: CgroupReading | None = None) -> str:
        """Say in a sentence why a process of the group ended, from the counters.

        Args: ended [from child.wait()]; since [an earlier snapshot; None for the last
            attach or join].
        Returns: a sentence without pids, as "killed by SIGKILL: it touched more than
            memory.max = 256 MiB; oom_kill went from 0 to 1".
        Raises: ENOENT when the group is gone: ask before remove().
        """
        before, now = since or self._before, self.snapshot()
        memory_file = self.hierarchy.column(knob("memory")).files[0]
        return cause_of(ended, before, now, memory_file, by_us=self._killed)

    def remove(self) -> None:
        if self._removed:
            return
        self.kill()
        remove_directories(Linux(), self.hierarchy.directories(self.name))
        if self._record is not None:
            self._record.forget()
        self._removed = True

    def _remember(self) -> None:
        self._before, self._killed = self.snapshot(), False

    def _write(self, file: str, text: str) -> None:
        Linux().write_file(f"{self.path(controller_of(file))}/{file}", text)

    def _read_back(self, names: tuple[str, ...]) -> Limits:
        return Limits(tuple((name, self._value(knob(name))) for name in names))

    def _has(self, name: str) -> bool:
        file = self.hierarchy.column(knob(name)).files[0]
        directory = self.hierarchy.directory(self.name, controller_of(file))
        return os.path.exists(f"{directory}/{file}")

    def _set_frozen(self, frozen: bool) -> None:
        column = self.hierarchy.column(FREEZE)
        for last in rounds(PATIENCE_S):
            # Again in each round: v1 may stay FREEZING when a process was just forking.
            self._write(column.files[0], column.form.encode(frozen)[0])
            if self.snapshot().frozen is frozen:
                return
            if last:
                raise StateError(
                    f"{self!r}: not {'frozen' if frozen else 'thawed'} in time",
                    "try again; `ps` shows which process is in state D",
                    "cgroups(7)",
                    meaning="a process that waits for a device can't be stopped",
                )

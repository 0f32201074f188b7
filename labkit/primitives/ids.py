"""Ids: who a process is, as seen from inside its user namespace and from outside.

    IdMap.of(pid).text()        inside    outside     length
                            uid      0       1000          1
                            uid      1     100000      65536
    host_id, container_id       from one view to the other
    ids_of(pid)                 a process's user and group, as this host counts

Chapter 04. The steps that write a map are in idmap.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from labkit.errors import StateError
from labkit.linux.proc import PROC
from labkit.linux.views import ContainerId, HostId
from labkit.text import Text
from labkit.values import dataclass


class IdMapping(NamedTuple):
    """One line of a map: `length` ids from `inside` on are those from `outside` on."""

    inside: ContainerId
    outside: HostId
    length: int


@dataclass(frozen=True, slots=True, repr=False)
class IdMap:
    """The maps of the user namespace that a process is in, as the reader sees them."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]

    @classmethod
    def of(cls, pid: int | str = "self", proc: str = PROC) -> IdMap:
        """Return the maps of a process.

        Args: pid [host pid, or "self"].
        Raises: StateError when it has ended.
        Needs: nothing.
        Kernel: user_namespaces(7), User and group ID mappings.
        """
        names = ("uid_map", "gid_map")
        uids, gids = (tuple(map(_parse, _lines(proc, pid, name))) for name in names)
        return cls(uids, gids)

    def __repr__(self) -> str:
        return f"IdMap({len(self.uids)} of uids, {len(self.gids)} of gids)"

    def text(self) -> Text:
        """Return both maps as a table: inside, outside, length."""
        rows = [("uid", *row) for row in self.uids] + [
            ("gid", *row) for row in self.gids
        ]
        lines = [f"{'':3} {'inside':>10} {'outside':>10} {'length':>10}"]
        lines += [f"{k:3} {i:>10} {o:>10} {n:>10}" for k, i, o, n in rows]
        return Text("\n".join(lines if rows else ["nothing is mapped"]))


def host_id(mappings: Iterable[IdMapping], inside: ContainerId) -> HostId | None:
    """Return who an id inside is outside; None when it isn't mapped."""
    for row in mappings:
        if row.inside <= inside < row.inside + row.length:
            return HostId(inside - row.inside + row.outside)
    return None


def container_id(mappings: Iterable[IdMapping], outside: HostId) -> ContainerId | None:
    """Return who an id outside is inside; None when it isn't mapped.

    Linux shows such an id inside as 65534, nobody: proc_sys_kernel(5), overflowuid.
    """
    for row in mappings:
        if row.outside <= outside < row.outside + row.length:
            return ContainerId(outside - row.outside + row.inside)
    return None


def ids_of(pid: int | str = "self", proc: str = PROC) -> tuple[HostId, HostId]:
    """Return the effective user and group of a process, as the reader sees them.

    Args: pid [host pid, or "self"].
    Raises: StateError when it has ended.
    Needs: nothing.
    Kernel: proc_pid_status(5), Uid and Gid.
    """
    words = {line.split()[0]: line.split() for line in _lines(proc, pid, "status")}
    return HostId(int(words["Uid:"][2])), HostId(int(words["Gid:"][2]))


def _parse(line: str) -> IdMapping:
    inside, outside, length = map(int, line.split())
    return IdMapping(ContainerId(inside), HostId(outside), length)


def _lines(proc: str, pid: int | str, name: str) -> list[str]:
    try:
        with open(f"{proc}/{pid}/{name}") as file:
            return file.read().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        raise StateError(
            f"the process whose {name} was asked for has ended", "start it again"
        ) from None

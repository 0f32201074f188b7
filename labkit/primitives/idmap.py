"""Id maps: who a process is, inside a user namespace and outside. Chapter 04.

    /proc/PID/uid_map, read from outside
    inside   outside   length
         0      1000        1     root inside is the ordinary user 1000
         1    100000    65536     a range that /etc/subuid gives to that user

    DenySetgroups()              what Linux asks for before an ordinary user's gid_map
    WriteIdMaps(uids, gids)      one write for each map, from outside
    AskNewuidmap(uids, gids)     the same, by the two set-uid programs: for ranges
    BecomeRoot()                 id 0 inside
    steps_for(host)              those of them that this user may take

Reading order as above; what a map says is read by ids.py.
Left out: capabilities in the new namespace (capabilities(7)); id-mapped mounts.
"""

from __future__ import annotations

import os
from typing import ClassVar

from labkit.errors import HostError, SyscallError
from labkit.host import Host, IdRange
from labkit.linux.flags import CAP, CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import ContainerId, HostId
from labkit.plan.program import ENVIRONMENT, become
from labkit.plan.step import After, Requires, Rule, Step, Where
from labkit.primitives.ids import IdMap, IdMapping, host_id, ids_of
from labkit.primitives.namespaces import Unshare
from labkit.values import dataclass

UNASSIGNED = IdRange(HostId(100_000), 65_536)
"""What root takes where /etc/subuid gives it nothing: login.defs(5), SUB_UID_MIN."""

_OWN_NAMESPACE = Requires(
    Unshare(CLONE.NEWUSER), "the first user namespace has its map, and keeps it"
)


@dataclass(frozen=True, slots=True, repr=False)
class DenySetgroups(Step):
    """Forbid setgroups(2) in the inside's user namespace, for ever.

    An ordinary user who could drop a group there could get past a file's permissions
    that shut this group out. So Linux takes her gid_map only after this.

    Raises: EPERM when gid_map is written already.
    Needs: to be the user who made the namespace.
    Kernel: user_namespaces(7), since Linux 3.19.
    """

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("user_namespaces(7)",)
    needs: ClassVar[str] = "to be the user who made the user namespace"
    rules: ClassVar[tuple[Rule, ...]] = (_OWN_NAMESPACE,)

    def describe(self) -> str:
        return "deny setgroups in the user namespace"

    def apply(self, linux: Linux) -> int | None:
        linux.write_file(f"/proc/{linux.inside}/setgroups", "deny")
        return None


@dataclass(frozen=True, slots=True, repr=False)
class WriteIdMaps(Step):
    """Give the inside's user namespace its two maps: one write each, once only.

    From outside, because a process in the new namespace has no power over outside ids.

    Args: uids, gids [mappings; an ordinary user: one line, her own id, length 1].
    Raises: EPERM for ids that aren't yours, or gid_map before setgroups was denied;
        EINVAL for ranges that overlap.
    Needs: CAP_SETUID and CAP_SETGID in the parent user namespace, for more than that.
    Kernel: user_namespaces(7). Spec: OCI runtime, linux.uidMappings and gidMappings.
    """

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("user_namespaces(7)",)
    needs: ClassVar[str] = "CAP_SETUID and CAP_SETGID outside, except for the own ids"
    rules: ClassVar[tuple[Rule, ...]] = (
        _OWN_NAMESPACE,
        After(DenySetgroups, "Linux refuses an ordinary user's gid_map before it"),
    )

    def describe(self) -> str:
        return f"map ids: {_shown(self.uids, self.gids)}"

    def apply(self, linux: Linux) -> int | None:
        for name, mappings in (("uid_map", self.uids), ("gid_map", self.gids)):
            lines = "\n".join(" ".join(map(str, row)) for row in mappings)
            linux.write_file(f"/proc/{linux.inside}/{name}", lines)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class AskNewuidmap(Step):
    """Have newuidmap and newgidmap write the maps: they check /etc/subuid, and may.

    Args: uids, gids [mappings of the own id and of ranges that are the user's].
    Raises: HostError when one of the programs refuses; what it said is in child.output.
    Needs: the two programs, set-uid root (package uidmap), and ranges in /etc/subuid.
    Kernel: newuidmap(1), subuid(5). Spec: OCI runtime, linux.uidMappings.
    """

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("newuidmap(1)", "newgidmap(1)", "subuid(5)")
    needs: ClassVar[str] = "newuidmap and newgidmap, and ranges in /etc/subuid"
    rules: ClassVar[tuple[Rule, ...]] = (_OWN_NAMESPACE,)

    def describe(self) -> str:
        return f"ask newuidmap to map ids: {_shown(self.uids, self.gids)}"

    def apply(self, linux: Linux) -> int | None:
        for program, mappings in (("newuidmap", self.uids), ("newgidmap", self.gids)):
            numbers = [str(number) for row in mappings for number in row]
            _run(linux, [program, str(linux.inside), *numbers])
        return None


@dataclass(frozen=True, slots=True, repr=False)
class BecomeRoot(Step):
    """Take user and group 0 of the inside's user namespace.

    Args: clear_groups [give up supplementary groups: where setgroups isn't denied].
    Raises: EINVAL when 0 isn't mapped; EPERM for groups where setgroups is denied.
    Needs: CAP_SETUID and CAP_SETGID in the inside's own user namespace.
    Kernel: setresuid(2), setgroups(2). Spec: OCI runtime, process.user.
    """

    clear_groups: bool = False

    man: ClassVar[tuple[str, ...]] = ("setresuid(2)", "setresgid(2)", "setgroups(2)")
    needs: ClassVar[str] = "CAP_SETUID and CAP_SETGID in its own user namespace"
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Unshare(CLONE.NEWUSER), "outside it would be the host's root"),
        After(WriteIdMaps, "before it, no id inside is anybody's"),
        After(AskNewuidmap, "before it, no id inside is anybody's"),
    )

    def describe(self) -> str:
        groups = ", in no other group" if self.clear_groups else ""
        return f"become user 0 and group 0 inside{groups}"

    def apply(self, linux: Linux) -> int | None:
        # Groups before the user, because a user who isn't root can't change them.
        if self.clear_groups:
            linux.setgroups(())
        linux.setresgid(0, 0, 0)
        linux.setresuid(0, 0, 0)
        return None


def steps_for(host: Host) -> tuple[Step, ...]:
    """Choose the steps that map the inside's ids: the only place that asks who we are.

    root              a range, and no id of the host's
    newuidmap         the own id as 0, and the user's ranges from 1 on
    ordinary user     the own id as 0, and nobody else

    Args: host [the probe's].
    Returns: steps for a plan, after Unshare(CLONE.NEWUSER).
    Raises: StateError without /proc.
    """
    uid, gid = ids_of("self")
    own = ((_row(0, uid, 1),), (_row(0, gid, 1),))
    ranges = (host.subordinate_uids[:1], host.subordinate_gids[:1])
    if host.privilege.has(CAP.SETUID, CAP.SETGID):
        uids, gids = (_row(0, *_first(one)) for one in ranges)
        if _mapped_here(uids, gids):
            return WriteIdMaps((uids,), (gids,)), BecomeRoot(clear_groups=True)
    elif all(ranges) and host.tool("newuidmap"):
        more = [_row(1, *_first(one)) for one in ranges]
        both = [(*mine, row) for mine, row in zip(own, more, strict=True)]
        return AskNewuidmap(*both), BecomeRoot()
    return DenySetgroups(), WriteIdMaps(*own), BecomeRoot()


def _row(inside: int, outside: HostId, length: int) -> IdMapping:
    return IdMapping(ContainerId(inside), outside, length)


def _first(ranges: tuple[IdRange, ...]) -> tuple[HostId, int]:
    chosen = ranges[0] if ranges else UNASSIGNED
    return chosen.first, chosen.count


def _mapped_here(uids: IdMapping, gids: IdMapping) -> bool:
    # Root of a container has only the ids that its own user namespace has.
    ours = IdMap.of("self")
    rows = ((uids, ours.uids), (gids, ours.gids))
    ends = [
        host_id(mine, ContainerId(end))
        for row, mine in rows
        for end in (row.outside, row.outside + row.length - 1)
    ]
    return None not in ends


def _shown(uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...]) -> str:
    rows = [("uid", *row) for row in uids] + [("gid", *row) for row in gids]
    return ", ".join(f"{kind} {i} is {o} outside ({n})" for kind, i, o, n in rows)


def _run(linux: Linux, argv: list[str]) -> None:
    pid = linux.fork()
    if pid == 0:
        try:
            become(linux, argv, ENVIRONMENT)
        except SyscallError:
            os._exit(127)  # as a shell does for a program that isn't there
        return  # only a rehearsal comes here
    code = os.waitstatus_to_exitcode(linux.waitpid(pid)[1])
    if code != 0:
        raise HostError(
            f"{argv[0]}: exit code {code}",
            "install the package uidmap; give yourself ranges: usermod --add-subuids",
            "newuidmap(1)",
            meaning="it refuses ids that /etc/subuid and /etc/subgid don't give you",
        )

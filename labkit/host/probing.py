"""Read this machine once: the only module that asks who the user is.

It changes nothing: what only trying can tell is tried in forked children. Everything
else is read below a root directory, so that tests bring their own machine.

Reading order: probe, is_root, read_host, read_privilege.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from labkit.host.cgroup_layout import read_layout
from labkit.host.machine import Host, IdRange, Privilege, UserNamespaces
from labkit.host.places import read_state_place
from labkit.host.surroundings import (
    find_static_busybox,
    find_tools,
    read_distribution,
    read_place,
    read_swap_bytes,
    read_text,
)
from labkit.host.trials import Trials, Who, attempt
from labkit.linux.flags import CAP, NamespaceType
from labkit.linux.proc import namespace_ids
from labkit.linux.views import HostId, HostPath

# Inodes of the namespaces that Linux starts with: include/linux/proc_ns.h. Those of
# mount and network namespaces were not fixed in older releases.
_FIRST = {
    NamespaceType.IPC: 0xEFFFFFFF,
    NamespaceType.UTS: 0xEFFFFFFE,
    NamespaceType.USER: 0xEFFFFFFD,
    NamespaceType.PID: 0xEFFFFFFC,
    NamespaceType.CGROUP: 0xEFFFFFFB,
    NamespaceType.TIME: 0xEFFFFFFA,
}
_OF_A_CONTAINER = {NamespaceType.PID, NamespaceType.IPC, NamespaceType.UTS}


def probe() -> Host:
    """Read this machine once; try in forked children what only trying can tell.

    Returns: the Host; equal to the next one as long as the machine doesn't change.
    Raises: HostError when called outside the main thread, or without /proc.
    Needs: nothing.
    Kernel: proc(5), capabilities(7), namespaces(7), cgroups(7).
    """
    uid, gid = os.geteuid(), os.getegid()
    privilege = read_privilege(HostPath("/"), root_user=uid == 0)
    may_unshare = privilege.has(CAP.SYS_ADMIN)
    kinds = tuple(kind for kind in NamespaceType if kind in privilege.kinds)
    trials = attempt(Who(may_unshare, uid, gid, kinds))
    return read_host(HostPath("/"), privilege, uid, os.environ, trials)


def is_root() -> bool:
    """Say whether the effective uid is 0, without a probe."""
    return os.geteuid() == 0


def read_host(
    root: HostPath,
    privilege: Privilege,
    uid: int,
    environ: Mapping[str, str],
    trials: Trials = Trials(),  # noqa: B008  frozen
) -> Host:
    """Read the rest of a Host from files below a root directory.

    Args: root [host path; "/" or a fixture]; uid [host id whose ranges count];
        environ [the caller's environment].
    Returns: the Host.
    Raises: OSError when there is no /proc below root.
    Needs: nothing.
    Kernel: proc(5).
    """
    release = read_text(root, "proc/sys/kernel/osrelease").strip()
    user = _user_name(root, uid)
    proc = os.path.join(root, "proc")
    return Host(
        release,
        privilege,
        machine=os.uname().machine,
        distribution=read_distribution(root),
        place=read_place(
            root, environ, release, contained=bool(privilege.inner & _OF_A_CONTAINER)
        ),
        user_namespaces=_user_namespaces(root),
        trials=trials,
        cgroups=read_layout(root, privileged=privilege.has(CAP.DAC_OVERRIDE)),
        subordinate_uids=_ranges(root, "etc/subuid", user, uid),
        subordinate_gids=_ranges(root, "etc/subgid", user, uid),
        swap_bytes=read_swap_bytes(root),
        state=read_state_place(environ, proc, root_user=privilege.root),
        tools=find_tools(environ),
        busybox=find_static_busybox(environ),
        user=user,
    )


def read_privilege(root: HostPath, *, root_user: bool) -> Privilege:
    """Read capabilities, no_new_privs and namespaces of this process.

    Args: root [host path]; root_user [whether the effective uid is 0].
    Returns: the privilege.
    Raises: nothing; without /proc nothing counts as permitted.
    Needs: nothing.
    Kernel: proc_pid_status(5), capabilities(7), namespaces(7).
    """
    status = dict(_fields(read_text(root, "proc/self/status")))
    effective = int(status.get("CapEff", "0"), 16)
    last = int(read_text(root, "proc/sys/kernel/cap_last_cap") or max(CAP))
    known = frozenset(capability for capability in CAP if capability <= last)
    held = frozenset(capability for capability in known if effective >> capability & 1)
    inodes = namespace_ids(proc=os.path.join(root, "proc"))
    inner = {kind for kind, first in _FIRST.items() if inodes.get(kind, first) != first}
    return Privilege(
        root_user,
        held,
        known - held,
        status.get("NoNewPrivs") == "1",
        frozenset(inodes),
        frozenset(inner),
    )


def _user_namespaces(root: HostPath) -> UserNamespaces:
    limit = read_text(root, "proc/sys/user/max_user_namespaces")
    return UserNamespaces(
        int(limit) if limit else None,
        _switch(root, "proc/sys/kernel/unprivileged_userns_clone"),
        _switch(root, "proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
    )


def _switch(root: HostPath, name: str) -> bool | None:
    text = read_text(root, name).strip()
    return None if not text else text != "0"


def _ranges(root: HostPath, name: str, user: str, uid: int) -> tuple[IdRange, ...]:
    # subuid(5): "name or uid : first id : how many".
    rows = (line.split(":") for line in read_text(root, name).splitlines())
    mine = (row for row in rows if len(row) == 3 and row[0] in (user, str(uid)))
    return tuple(IdRange(HostId(int(first)), int(count)) for _, first, count in mine)


def _user_name(root: HostPath, uid: int) -> str:
    for line in read_text(root, "etc/passwd").splitlines():
        name, _, number, *_ = [*line.split(":"), "", ""]
        if number == str(uid):
            return name
    return str(uid)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name, value.strip()

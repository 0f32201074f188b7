"""The planner's part about namespaces: joined ones, new ones, and their names."""

from __future__ import annotations

from functools import reduce
from operator import or_

from labkit.errors import DocumentError
from labkit.host import Host
from labkit.linux.flags import CLONE, NamespaceType
from labkit.plan.step import Step
from labkit.primitives.capabilities import SetDumpable
from labkit.primitives.cgroups.place import birthplace, moved_into
from labkit.primitives.cgroups.steps import JoinCgroup
from labkit.primitives.clone import CatchUp, Clone, PutIntoCgroup
from labkit.primitives.idmap import (
    AskNewuidmap,
    BecomeRoot,
    DenySetgroups,
    WriteIdMaps,
)
from labkit.primitives.namespaces import (
    JoinNamespace,
    SetDomainname,
    SetHostname,
    SetTimeOffsets,
    Unshare,
)
from labkit.runtime.planner_process import setgroups_denied
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec
from labkit.runtime.spec.linux import Namespace


def namespace_steps(spec: Spec, host: Host, situation: Situation) -> list[Step]:
    """Return the steps that put the inside into its namespaces, and into its cgroup.

    The inside is born in most of them. A cgroup namespace comes later
    (`cgroup_namespace_steps`): its root is the cgroup of whoever makes it.
    """
    joined = [one for one in spec.linux.namespaces if one.path]
    new = _flags([one for one in spec.linux.namespaces if not one.path])
    born_in = new & ~CLONE.NEWCGROUP
    offsets = tuple((o.clock, o.secs, o.nanosecs) for o in spec.linux.time_offsets)
    if offsets:
        born_in &= ~CLONE.NEWTIME
    # Whoever is in a namespace that it joins could look into it from then on. An
    # ordinary user's maps can be written only before that is forbidden.
    early = bool(joined) and host.privilege.root
    return [
        *([SetDumpable()] if early else ()),
        *(JoinNamespace(one.path, one.type) for one in sorted(joined, key=_order)),
        *([Unshare(CLONE.NEWTIME), SetTimeOffsets(offsets)] if offsets else ()),
        Clone(born_in, birthplace(situation.places)),
        *_move(spec, situation),
        *_ids(spec, host, new),
        *(() if early else [SetDumpable()]),
    ]


def cgroup_namespace_steps(spec: Spec, situation: Situation) -> list[Step]:
    """Return the steps that make the inside's cgroup the root of all that it sees."""
    namespace = spec.linux.namespace(NamespaceType.CGROUP)
    if namespace is None or namespace.path:
        return []
    moves = any(isinstance(one, PutIntoCgroup) for one in _move(spec, situation))
    return [*([CatchUp()] if moves else ()), Unshare(CLONE.NEWCGROUP)]


def enter_kinds(spec: Spec) -> CLONE:
    """Return the kinds of namespace that the container doesn't share with the host."""
    return _flags(list(spec.linux.namespaces))


def uts_steps(spec: Spec) -> list[Step]:
    """Return the steps that name the container.

    Raises: DocumentError for a name without a UTS namespace to put it into.
    """
    if not spec.hostname and not spec.domainname:
        return []
    if spec.linux.namespace(NamespaceType.UTS) is None:
        raise DocumentError(
            "config.json: /hostname: there is no UTS namespace for it",
            'add {"type": "uts"} to linux.namespaces, or leave the name out',
            meaning="it would be the host's name",
        )
    host_name = [SetHostname(spec.hostname)] if spec.hostname else []
    domain = [SetDomainname(spec.domainname)] if spec.domainname else []
    return [*host_name, *domain]


def _flags(namespaces: list[Namespace]) -> CLONE:
    return reduce(or_, (one.type.clone for one in namespaces), CLONE(0))


def _order(namespace: Namespace) -> int:
    # User first, because it gives the right to enter what it owns; mount last, because
    # the paths of the others mean something else after it.
    first, last = NamespaceType.USER, NamespaceType.MOUNT
    return {first: 0, last: 2}.get(namespace.type, 1)


def _move(spec: Spec, situation: Situation) -> list[Step]:
    directories = moved_into(situation.places)
    if not directories:
        return []  # born in it
    # In another user namespace the group isn't its own; in one that it joins, the mount
    # namespace may not have the way there. Then it is moved, which takes time.
    user, mount = map(spec.linux.namespace, (NamespaceType.USER, NamespaceType.MOUNT))
    if user or (mount and mount.path):
        return [PutIntoCgroup(situation.container_id, directories)]
    return [JoinCgroup(situation.container_id, directories, "tasks")]


def _ids(spec: Spec, host: Host, new: CLONE) -> list[Step]:
    linux = spec.linux
    user = linux.namespace(NamespaceType.USER)
    if user is None:
        return []
    if user.path:
        return [BecomeRoot()]
    maps = (linux.uid_mappings, linux.gid_mappings)
    if host.privilege.root:
        return [WriteIdMaps(*maps), BecomeRoot(clear_groups=True)]
    if setgroups_denied(spec, host):
        return [DenySetgroups(), WriteIdMaps(*maps), BecomeRoot()]
    return [AskNewuidmap(*maps), BecomeRoot(clear_groups=True)]

"""The planner's part about namespaces: joined ones, new ones, and their names."""

from __future__ import annotations

from functools import reduce
from operator import or_

from labkit.host import Host
from labkit.linux.flags import CLONE, NamespaceType
from labkit.plan.step import Step
from labkit.primitives.idmap import BecomeRoot, WriteIdMaps
from labkit.primitives.namespaces import JoinNamespace, SetHostname, Unshare
from labkit.primitives.process import Fork
from labkit.runtime.spec import Spec
from labkit.runtime.spec.linux import Namespace

# A PID or a time namespace is entered by children only.
_FOR_CHILDREN = CLONE.NEWPID | CLONE.NEWTIME


def namespace_steps(spec: Spec, host: Host) -> list[Step]:
    """Return the steps that put the inside into its namespaces."""
    joined = [one for one in spec.linux.namespaces if one.path]
    new = _flags([one for one in spec.linux.namespaces if not one.path])
    return [
        *(JoinNamespace(one.path, one.type) for one in sorted(joined, key=_order)),
        *([Unshare(new)] if new else ()),
        *_ids(spec, host, new),
        *([Fork()] if enter_kinds(spec) & _FOR_CHILDREN else ()),
    ]


def enter_kinds(spec: Spec) -> CLONE:
    """Return the kinds of namespace that the container doesn't share with the host."""
    return _flags(list(spec.linux.namespaces))


def uts_steps(spec: Spec) -> list[Step]:
    """Return the steps that name the container."""
    return [SetHostname(spec.hostname)] if spec.hostname else []


def _flags(namespaces: list[Namespace]) -> CLONE:
    return reduce(or_, (one.type.clone for one in namespaces), CLONE(0))


def _order(namespace: Namespace) -> int:
    # User first, because it gives the right to enter what it owns; mount last, because
    # the paths of the others mean something else after it.
    first, last = NamespaceType.USER, NamespaceType.MOUNT
    return {first: 0, last: 2}.get(namespace.type, 1)


def _ids(spec: Spec, host: Host, new: CLONE) -> list[Step]:
    if not new & CLONE.NEWUSER:
        return []
    linux = spec.linux
    maps = WriteIdMaps(linux.uid_mappings, linux.gid_mappings)
    return [maps, BecomeRoot(clear_groups=True)]

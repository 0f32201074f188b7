"""Where cgroup controllers are, and where the lab may make cgroups. Chapter 03.

    unified   /sys/fs/cgroup                one tree, cgroup v2, for all controllers
    hybrid    /sys/fs/cgroup/memory ...     a tree for each v1 controller,
              /sys/fs/cgroup/unified        and a v2 tree beside them
    legacy    /sys/fs/cgroup/memory ...     v1 only

Reading order: CgroupLayout, Controller, read_layout. Readers take a root directory, so
that each layout is tested on every machine.

Left out: named v1 hierarchies (name=systemd), which limit nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from labkit.linux.proc import cgroups_of, mounts
from labkit.linux.views import HostPath
from labkit.values import dataclass

# A controller that changed its name: v1 calls it blkio, v2 and the lab io.
_V2_NAMES = {"blkio": "io"}
# In v2 every cgroup has cgroup.freeze, since Linux 5.2, and needs no controller.
_BUILT_INTO_V2 = ("freezer",)


class Layout(StrEnum):
    """How the controllers are arranged."""

    UNIFIED = "unified"
    HYBRID = "hybrid"
    LEGACY = "legacy"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Controller:
    """One controller, and the directory below which the lab may make cgroups."""

    name: str  # as in v2: memory, cpu, io, pids, freezer
    version: int  # 1 or 2
    mount: HostPath
    parent: HostPath | None  # None when nothing there belongs to this user


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """The layout, its controllers, and the caller's own v2 cgroup."""

    layout: Layout = Layout.NONE
    controllers: tuple[Controller, ...] = ()
    unified: HostPath | None = None  # the mount point of the v2 tree
    own: HostPath | None = None  # this process's directory in the v2 tree
    offered: frozenset[str] = frozenset()  # what this Linux has, ours or not
    crowded: bool = False  # the v2 parent holds processes: see `read_layout`

    def controller(self, name: str) -> Controller | None:
        """Return a controller by its v2 name, or None when there is none."""
        return next((one for one in self.controllers if one.name == name), None)

    def known(self, name: str) -> bool:
        """Say whether this Linux has the controller at all, ours or not."""
        return name in self.offered

    def usable(self, name: str) -> bool:
        """Say whether the lab can make a cgroup with this controller."""
        found = self.controller(name)
        return found is not None and found.parent is not None

    def __str__(self) -> str:
        memory = self.controller("memory")
        return {
            Layout.UNIFIED: "cgroup v2",
            Layout.HYBRID: f"cgroup v{memory.version if memory else 1} (hybrid)",
            Layout.LEGACY: "cgroup v1",
            Layout.NONE: "no cgroups",
        }[self.layout]


def read_layout(root: HostPath = HostPath("/"), *, privileged: bool) -> CgroupLayout:
    """Read where controllers are mounted and which directories this user may write.

    A privileged user's cgroups go directly below the mount point, an ordinary user's
    below the own cgroup, if somebody delegated it. In v2 a cgroup that holds processes
    can't give controllers to its children (the no-internal-process rule, except in
    the real root): `crowded` says that they must move to a leaf first.

    Args: root [host path; "/" or a fixture]; privileged [may write everywhere].
    Returns: the layout; controllers sorted by name.
    Raises: OSError when /proc isn't there.
    Needs: nothing.
    Kernel: cgroups(7); Documentation/admin-guide/cgroup-v2.rst, "Delegation".
    Left out: a v1 tree that is mounted more than once; the first place counts.
    """
    hierarchies = tuple(_hierarchies(root, privileged))
    v1 = [tree for tree in hierarchies if tree.version == 1 and tree.controllers]
    v2 = next((tree for tree in hierarchies if tree.version == 2), None)
    controllers = tuple(
        Controller(name, tree.version, tree.mount, tree.parent)
        for tree in hierarchies
        for name in tree.controllers
    )
    layout = {
        (True, True): Layout.HYBRID,
        (True, False): Layout.LEGACY,
        (False, True): Layout.UNIFIED,
        (False, False): Layout.NONE,
    }[bool(v1), v2 is not None]
    return CgroupLayout(
        layout,
        tuple(sorted(_first_of_each(controllers), key=lambda one: one.name)),
        v2.mount if v2 else None,
        v2.own if v2 else None,
        _offered(root, v2),
        bool(v2 and v2.parent and _is_crowded(v2.parent)),
    )


class _Hierarchy(NamedTuple):
    version: int
    controllers: tuple[str, ...]
    mount: HostPath
    own: HostPath | None
    parent: HostPath | None


def _hierarchies(root: HostPath, privileged: bool) -> Iterator[_Hierarchy]:
    in_root = os.path.join(root, "proc")
    memberships = cgroups_of(proc=in_root)  # controller -> path; "" is the v2 tree
    for mount in mounts(proc=in_root):
        if mount.fstype not in ("cgroup", "cgroup2"):
            continue
        point = HostPath(os.path.join(root, mount.target.lstrip("/")))
        if not os.path.exists(os.path.join(point, "cgroup.procs")):
            continue  # another mount lies over it
        # A v1 mount names its controllers in its options.
        names = tuple(name for name in memberships if name in mount.super_options)
        path = memberships.get(names[0] if names else "")
        own = _own_directory(point, mount.root, path)
        parent = (_writable(point) if privileged else None) or _writable(own)
        if mount.fstype == "cgroup2":
            yield _Hierarchy(2, _v2_controllers(parent or own), point, own, parent)
        else:
            yield _Hierarchy(1, _v2_names(names), point, own, parent)


def _v2_names(names: tuple[str, ...]) -> tuple[str, ...]:
    real = (name for name in names if not name.startswith("name="))
    return tuple(_V2_NAMES.get(name, name) for name in real)


def _v2_controllers(directory: HostPath | None) -> tuple[str, ...]:
    if directory is None:
        return ()
    try:
        with open(os.path.join(directory, "cgroup.controllers")) as file:
            return (*file.read().split(), *_BUILT_INTO_V2)
    except FileNotFoundError:
        # ENOENT: the own cgroup was removed while we were in it; it limits nothing.
        return ()


def _own_directory(point: HostPath, shown: str, path: str | None) -> HostPath | None:
    # In a container the mount shows only a part of the tree, which begins at `shown`.
    if path is None:
        return None
    below = os.path.relpath(path, shown)
    if below.startswith(".."):
        return None
    own = HostPath(os.path.normpath(os.path.join(point, below)))
    return own if os.path.isdir(own) else None


def _writable(directory: HostPath | None) -> HostPath | None:
    if directory is None:
        return None
    needed = (directory, os.path.join(directory, "cgroup.procs"))
    may_write = all(os.access(path, os.W_OK, effective_ids=True) for path in needed)
    return directory if may_write else None


def _offered(root: HostPath, v2: _Hierarchy | None) -> frozenset[str]:
    # Rows of /proc/cgroups: "memory 4 12 1", the last one 0 if switched off at boot.
    with open(os.path.join(root, "proc/cgroups")) as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    names = tuple(row[0] for row in rows if row[3] == "1")
    return frozenset((*_v2_names(names), *_v2_controllers(v2.mount if v2 else None)))


def _first_of_each(controllers: tuple[Controller, ...]) -> Iterator[Controller]:
    # v1 before v2, because a controller in a v1 tree can't be in the v2 one; only what
    # is built into v2 is in both.
    seen: set[str] = set()
    for one in sorted(controllers, key=lambda one: one.version):
        if one.name not in seen:
            seen.add(one.name)
            yield one


def _is_crowded(parent: HostPath) -> bool:
    # Only a cgroup that isn't the machine's root has cgroup.type.
    if not os.path.exists(os.path.join(parent, "cgroup.type")):
        return False
    with open(os.path.join(parent, "cgroup.procs")) as file:
        return bool(file.read(1))

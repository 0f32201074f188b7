"""Places: where the cgroup of a container lies, from what its configuration says.

    places_of("/machine/box", layout)
        v2   one place:           /sys/fs/cgroup + machine/box
        v1   one a controller:    /sys/fs/cgroup/memory + machine/box, ...
             and, where there is a v2 tree beside them, one in that

    MakeCgroup("/machine/box", places)     make it, and hand controllers down (v2)

Chapter 03. Spec: OCI runtime, linux.cgroupsPath.
Left out: names of systemd units ("slice:prefix:name").
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import ClassVar, NamedTuple

from labkit.errors import DocumentError, HostError
from labkit.host.cgroup_layout import CgroupLayout
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan.step import Before, Rule, Step, Where
from labkit.primitives.cgroups.hierarchy import Unified, fill_cpuset
from labkit.primitives.cgroups.steps import JoinCgroup
from labkit.values import dataclass

V2 = ""
"""The name of cgroup v2's one tree, where v1 has the names of controllers."""

BESIDE = "unified"
"""The name of the v2 tree beside those of v1. It limits nothing: it tells who is who,
to whoever asks for the cgroup of a process or a socket, and can kill all at once."""

# The first move of a process costs milliseconds, those right after it nothing.
_ORDER = ("memory", "cpu", "cpuacct", "cpuset", "pids", "io", "devices", "freezer")
_HANDED_DOWN = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")


class Place(NamedTuple):
    """A cgroup in one tree: its controller, the tree's top, the way from there."""

    controller: str  # its v2 name, or V2, or BESIDE
    top: HostPath
    path: str

    @property
    def directory(self) -> HostPath:
        """Return the host path of the cgroup."""
        return HostPath(f"{self.top}/{self.path}")

    @property
    def v1_name(self) -> str:
        """Return the controller's name as cgroup v1 has it."""
        return "blkio" if self.controller == "io" else self.controller

    @property
    def version(self) -> int:
        """Return the version of its tree."""
        return 2 if self.controller in (V2, BESIDE) else 1

    def levels(self) -> Iterator[HostPath]:
        """Yield the cgroup and those above it, from the top down, without the top."""
        at = str(self.top)
        for name in self.path.split("/"):
            at = f"{at}/{name}"
            yield HostPath(at)


def places_of(
    path: str, layout: CgroupLayout, only: tuple[str, ...] = ()
) -> tuple[Place, ...]:
    """Return where a container's cgroup lies.

    Args: path [linux.cgroupsPath: absolute is below the root of each tree, relative is
        below the directory that is ours]; layout [the host's]; only [which controllers
        of v1; () for all: each tree costs time].
    Returns: a place for each tree, in the order in which a process moves quickest.
    Raises: DocumentError for a path that leads out; HostError without cgroups.
    """
    words = [word for word in path.split("/") if word not in ("", ".")]
    if ".." in words or ":" in path or not words:
        raise DocumentError(
            f"config.json: /linux/cgroupsPath: {path!r} is no path of a cgroup",
            'write it like "/machine/box", without ".." and ":"',
            meaning="names of systemd units aren't taken here",
        )
    absolute, inner = path.startswith("/"), "/".join(words)
    trees = {
        one.name: one.mount if absolute else one.parent or one.mount
        for one in layout.controllers
        if one.version == 1 and (not only or one.name in only)
    }
    if layout.unified is not None and not (trees and only):
        beside = BESIDE if trees else V2
        trees[beside] = layout.unified if absolute else layout.own or layout.unified
    if not trees:
        raise HostError("cgroups: this machine has none", "run `labkit doctor`")
    order = [name for name in dict.fromkeys((V2, *_ORDER, *trees)) if name in trees]
    return tuple(Place(name, trees[name], inner) for name in order)


def birthplace(places: Iterable[Place]) -> HostPath | None:
    """Return the directory in the tree of v2, where a process can be born."""
    return next((one.directory for one in places if one.version == 2), None)


def moved_into(places: Iterable[Place]) -> tuple[HostPath, ...]:
    """Return the directories of v1; each once, as two controllers can share a tree."""
    return tuple(dict.fromkeys(one.directory for one in places if one.version == 1))


@dataclass(frozen=True, slots=True, repr=False)
class MakeCgroup(Step):
    """Make a cgroup in each tree, with those above it where they are missing.

    Args: name [for people]; places [where].
    Raises: EACCES when the trees aren't yours; EBUSY when one above it holds processes
        (v2).
    Needs: write permission in the trees.
    Kernel: mkdir(2), cgroups(7). Spec: OCI runtime, linux.cgroupsPath.
    """

    name: str
    places: tuple[Place, ...]

    where: ClassVar[Where] = Where.OUTSIDE
    man: ClassVar[tuple[str, ...]] = ("mkdir(2)", "cgroups(7)")
    needs: ClassVar[str] = "write permission in the cgroup trees"
    rules: ClassVar[tuple[Rule, ...]] = (
        Before(JoinCgroup, "nobody can join a group that isn't there"),
    )

    def describe(self) -> str:
        return f"make the cgroup {self.name}"

    def apply(self, linux: Linux) -> int | None:
        for place in self.places:
            for directory in place.levels():
                if place.controller == V2:
                    _hand_down(linux, HostPath(os.path.dirname(directory)))
                _make(linux, directory)
                if place.controller in ("cpuset", "cpu"):
                    fill_cpuset(linux, directory)
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def _make(linux: Linux, directory: HostPath) -> None:
    # EEXIST: somebody's above it, or two controllers in one tree.
    with suppress(FileExistsError):
        linux.mkdir(directory)


def _hand_down(linux: Linux, parent: HostPath) -> None:
    there = linux.read_file(f"{parent}/cgroup.controllers").split()
    Unified(parent, tuple(c for c in _HANDED_DOWN if c in there)).hand_down(linux)

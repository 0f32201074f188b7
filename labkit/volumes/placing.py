"""A container's mounts, as steps of its plan. Chapter 14.

    placed = place("web", mounts)       named volumes are there, and noted as used
    placed.seed(layers)                 a new volume begins with the image's own files
    placed.plan(plan)                   the container's plan with the mounts in it
    placed.leave()

Reading order: place, Placed, HoldInRoot.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from labkit import state
from labkit.errors import ContainerFailed, NoDirectory, NoSuchPath, syscall_error
from labkit.linux.flags import CLONE, O
from labkit.linux.syscalls import Linux
from labkit.plan import Plan
from labkit.plan.inserting import before
from labkit.plan.step import Requires, Rule, Step
from labkit.plan.together import Together
from labkit.primitives.inside_root import open_in_root
from labkit.primitives.mount_inside import BindInside, MountInside
from labkit.primitives.mount_options import MountOptions
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir, PivotRoot
from labkit.volumes.mounts import Kind, Mount, in_order
from labkit.volumes.volume import Volume

_CAREFUL = ("nosuid", "nodev")
_HELD_FD = 9
_SEEDING, _WAIT_S = "seeding", 600


@dataclass(frozen=True, slots=True)
class Placed:
    """Mounts whose sources are there."""

    container: str
    mounts: tuple[tuple[Mount, str], ...]  # each with the host path of its data

    def plan(self, plan: Plan) -> Plan:
        """Return the container's plan with a step for each mount."""
        if not self.mounts:
            return plan
        steps = [
            Together.of(str(mount), Chdir("merged"), _step(mount, source), Chdir(".."))
            for mount, source in self.mounts
        ]
        return before(plan, PivotRoot, Plan(*steps))

    def seed(self, layers: Overlay) -> None:
        """Copy what the image has at its place into each volume that is empty.

        A copy that a kill or a full disk has ended is begun anew, unless somebody uses
        the volume as it is.

        Raises: ContainerFailed when the host's cp can't.
        """
        for mount, source in self.mounts:
            if mount.kind is Kind.VOLUME and mount.seed and _wants_seed(source):
                # One at a time: of two that begin at once the second has nothing to do.
                with state.lock(_SEEDING, timeout_s=_WAIT_S):
                    self._seed(layers, mount.target, source)

    def _seed(self, layers: Overlay, target: str, source: str) -> None:
        others = set(_volume_at(source).users) - {self.container}
        if not _wants_seed(source) or (os.listdir(source) and others):
            return
        half = Path(_half_of(source))
        half.touch()
        _empty(source)
        # ENOENT, ENOTDIR: the image has nothing there, or a file.
        with suppress(NoSuchPath, NoDirectory):
            _copy(layers, target, source)
        half.unlink()

    def leave(self) -> None:
        """Note that the container uses its volumes no more; remove nameless ones."""
        for mount, source in self.mounts:
            if mount.kind is not Kind.VOLUME:
                continue
            volume = _volume_at(source)
            volume.leave(self.container)
            if not mount.source:
                volume.remove()


@dataclass(frozen=True, slots=True, repr=False)
class HoldInRoot(Step):
    """Keep a directory of a root open under a number, for the program that comes next.

    Args: path [container path; the working directory is its root]; fd.
    Raises: ENOENT when the root has none there, ENOTDIR for a file.
    Needs: nothing beyond the permissions.
    Kernel: openat2(2), dup2(2).
    """

    path: str
    fd: int

    man: ClassVar[tuple[str, ...]] = ("openat2(2)", "dup2(2)")
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(Chdir, "the working directory is the root that the path is walked in"),
    )

    def describe(self) -> str:
        return f"hold {self.path} open"

    def apply(self, linux: Linux) -> int | None:
        linux.dup2(open_in_root(linux, self.path, O.DIRECTORY), self.fd)
        return None


def place(container: str, mounts: Sequence[Mount]) -> Placed:
    """Make what the mounts need on the host: volumes, and directories for -v.

    Raises: DocumentError for two at one place; ENOENT for the source of a --mount that
        isn't there.
    """
    placed: list[tuple[Mount, str]] = []
    try:
        for mount in in_order(mounts):
            placed.append((mount, _source(container, mount)))
    except BaseException:
        Placed(container, tuple(placed)).leave()
        raise
    return Placed(container, tuple(placed))


def _volume_at(source: str) -> Volume:
    return Volume.of(os.path.basename(os.path.dirname(source)))


def _wants_seed(source: str) -> bool:
    return not os.listdir(source) or os.path.lexists(_half_of(source))


def _half_of(source: str) -> str:
    # It is there while a copy is under way, and after one that didn't come to its end.
    return f"{source}.half"


def _empty(folder: str) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _source(container: str, mount: Mount) -> str:
    if mount.kind is Kind.VOLUME:
        volume = Volume.create(mount.source)
        volume.use(container)
        return volume.path
    if mount.kind is Kind.BIND and not os.path.lexists(mount.source):
        if not mount.make_source:
            raise syscall_error(f'open("{mount.source}")', errno.ENOENT)
        os.makedirs(mount.source)
    return mount.source


def _step(mount: Mount, source: str) -> Step:
    if mount.kind is Kind.TMPFS:
        words = ("ro",) if mount.readonly else ()
        options = MountOptions.of((*_CAREFUL, *words, *mount.options))
        return MountInside("tmpfs", mount.target, options=options)
    # "rro" reaches the mounts below it as well; "ro" would leave them writable.
    words = ("rbind", mount.propagation, *(("rro",) if mount.readonly else ()))
    return BindInside(source, mount.target, MountOptions.of(words))


def _copy(layers: Overlay, target: str, to: str) -> None:
    plan = Plan(
        Unshare(CLONE.NEWNS),
        MakePrivate("/"),
        layers.mount(),
        Chdir(layers.merged),
        HoldInRoot(target, _HELD_FD),
        Exec(["cp", "--archive", f"/proc/self/fd/{_HELD_FD}/.", to]),
    )
    ended = plan.run()
    if ended.exit.code:
        raise ContainerFailed(
            f"volume for {target}: cp ended with {ended.exit.code}",
            "df -h; or do without: -v NAME:PATH:nocopy",
            meaning=ended.stderr.strip(),
        )

"""A container under a monitor, as the tests of fork server and monitor want it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit import state
from labkit.host import Host
from labkit.linux import CLONE, MS, HostPath
from labkit.plan import Plan, Step, handle
from labkit.primitives.cgroups.place import MakeCgroup, Place, places_of
from labkit.primitives.clone import CatchUp, Clone, PutIntoCgroup
from labkit.primitives.devices import minimal_dev
from labkit.primitives.mounts import MakePrivate, Mask, MountFilesystem, ReadonlyPath
from labkit.primitives.namespaces import ALL, SetHostname, Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.parent_death import EndWithParent
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir, PivotRoot
from labkit.rootfs import rootfs
from labkit.runtime.burial import KIND
from labkit.runtime.ending import ending_in
from labkit.runtime.request import Request

WANTED = ("", "memory", "pids", "devices", "freezer")
_CAREFUL = MS.NOSUID | MS.NODEV | MS.NOEXEC


@dataclass(frozen=True)
class Parts:
    """What a container is made of: its layers, and where its cgroup is."""

    name: str
    layers: Overlay
    places: tuple[Place, ...]
    host: Host

    @property
    def groups(self) -> tuple[HostPath, ...]:
        """The directories of its cgroup, each once."""
        return tuple(dict.fromkeys(place.directory for place in self.places))

    def plan(self, argv: Sequence[str]) -> Plan:
        """Return the steps of a whole container: what is slow overlaps."""
        layers, group = self.layers, self.groups
        return Plan(
            MakeCgroup(self.name, self.places),
            Clone(ALL & ~CLONE.NEWCGROUP),
            EndWithParent(),
            PutIntoCgroup(self.name, group),
            MakePrivate("/"),
            Chdir(layers.directory),
            MountOverlay(layers.lowerdirs, "upper", "work", "merged", layers.userxattr),
            SetHostname(self.name),
            MountFilesystem("proc", "merged/proc"),
            MountFilesystem("sysfs", "merged/sys", MS.RDONLY | _CAREFUL),
            minimal_dev("merged", self.host, user_namespace=False),
            PivotRoot("merged"),
            Mask("/proc/keys"),
            ReadonlyPath("/proc/sys"),
            CatchUp(),
            Unshare(CLONE.NEWCGROUP),
            Exec(list(argv)),
        )

    def request(self, argv: Sequence[str], *more: Step) -> Request:
        """Return what a fork server is asked for; more steps go before the last."""
        steps = self.plan(argv).steps
        plan = Plan(*steps[:-1], *more, steps[-1])
        return Request(self.name, directory_of(self.name), plan, self.groups)

    def request_for(self, plan: Plan) -> Request:
        """Return a request for another plan with the same parts."""
        return Request(self.name, directory_of(self.name), plan, self.groups)


@contextmanager
def parts(name: str, host: Host) -> Iterator[Parts]:
    """Make the layers of a container; its cgroup is made by its plan."""
    with Overlay.create(name, (rootfs("alpine").path,)) as layers:
        yield Parts(name, layers, places_for(name, host), host)


def places_for(name: str, host: Host) -> tuple[Place, ...]:
    """Return where a container's cgroup will be, in few trees: each costs time."""
    every = places_of(f"labkit-{name}", host.cgroups)
    return tuple(place for place in every if place.controller in WANTED)


def directory_of(name: str) -> HostPath:
    """Return a container's directory, made if need be."""
    return state.directory(f"containers/{name}")


def simple(name: str, argv: Sequence[str]) -> Request:
    """Return a request for a program without any container, with an empty log."""
    for old in ("log", "log.1"):
        Path(directory_of(name), old).unlink(missing_ok=True)
    return Request(name, directory_of(name), Plan(Chdir("/"), Exec(list(argv))))


def monitor_of(name: str) -> int:
    """Return the pid of the monitor of a container, 0 without one."""
    record = handle.find(KIND, name)
    return record.owner_pid if record is not None else 0


def kill_monitor_of(name: str) -> int:
    """Kill the monitor of a container; return its pid."""
    monitor = monitor_of(name)
    assert monitor, f"{name} has no monitor: {ending_in(directory_of(name))}"
    os.kill(monitor, signal.SIGKILL)
    return monitor


def said(name: str) -> str:
    """Return the raw log of a container, as far as it is written."""
    path = Path(directory_of(name), "log")
    return path.read_text() if path.exists() else ""


def nothing_is_left_of(one: Parts | Request) -> bool:
    """Say whether cgroup, record and socket of a container are gone."""
    socket = os.path.join(directory_of(one.name), "monitor.socket")
    there = [*one.groups, socket]
    return handle.find(KIND, one.name) is None and not any(map(os.path.exists, there))

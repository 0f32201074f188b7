"""A container: the steps of chapters 02 to 06 in one plan. Chapter 07.

    one = container("one", memory="64M", pids=32)      makes layers and a cgroup
    one.plan                                           the steps; nothing has happened
    one.start()                                        they are applied; it runs
    one.exec(["ps"]).stdout                            a program beside it
    one.remove()                                       nothing is left

           process   <- child     its own: PID 1, host name, mounts, network devices
      what it sees   <- namespaces
      what it takes  <- cgroup    limits, counters
    what it changes  <- layers    upper, over an image that others share
        what it has  <- network, volumes    when it asks for them: chapters 13, 14

Linux knows no containers: take any part away, and what is left is an ordinary process.

Reading order: container_plan, container, Container.
Left out: user namespaces, capabilities, seccomp (the next chapters); a first process
that waits for orphans; what outlives the notebook.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from functools import reduce
from operator import or_
from typing import ClassVar, Unpack

from labkit.connections import Connections, Options, connect, split
from labkit.errors import HostError, StateError
from labkit.host import Host, probe
from labkit.linux.flags import CAP, CLONE, MS
from labkit.linux.views import HostPid
from labkit.plan import Child, Exit, Plan, Result
from labkit.plan.handle import Handle
from labkit.plan.together import Together
from labkit.primitives.cgroups import Cgroup, NoCgroup
from labkit.primitives.devices import minimal_dev
from labkit.primitives.idmap import steps_for
from labkit.primitives.mounts import MakePrivate, Mask, MountFilesystem, ReadonlyPath
from labkit.primitives.namespaces import (
    ALL,
    JoinNamespaces,
    Namespaces,
    SetHostname,
    Unshare,
)
from labkit.primitives.overlay import Overlay
from labkit.primitives.overlay_mount import MountOverlay
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir, PivotRoot
from labkit.rootfs import rootfs
from labkit.text import Text

IDLE = ("sleep", "infinity")
"""What a container runs if nobody says otherwise: it is there, and waits."""

# Of the paths that Docker hides or protects (moby, oci/defaults.go), those that a Linux
# of today may have.
MASKED = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware")
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

Image = str | os.PathLike[str]


def container_plan(
    layers: Overlay,
    cgroup: Cgroup | NoCgroup,
    hostname: str,
    argv: Sequence[str],
    host: Host,
) -> Plan:
    """Return the steps that make a process a container, in their order.

    Paths below the folder of its layers are relative to it: the plan reads the same on
    every machine, and the options of the mount stay short.

    Args: layers [made, not mounted]; argv [argv[0] is looked for along PATH, inside].
    """
    return Plan(
        cgroup.join(),
        _own_namespaces(host),
        MakePrivate("/"),
        Together.of("go to the folder of its layers", Chdir(layers.directory)),
        MountOverlay(layers.lowerdirs, "upper", "work", "merged", layers.userxattr),
        Fork(),
        SetHostname(hostname),
        MountFilesystem("proc", "merged/proc"),
        MountFilesystem("sysfs", "merged/sys", MS.RDONLY | _CAREFUL),
        Together.of("give it a small /dev", _dev("merged", host)),
        PivotRoot("merged"),
        Together.of(f"hide {', '.join(MASKED)}", *map(Mask, MASKED)),
        Together.of(f"protect {', '.join(READONLY)}", *map(ReadonlyPath, READONLY)),
        Exec(tuple(argv)),
    )


def container(
    name: str,
    argv: Sequence[str] = IDLE,
    *,
    root: Image | Sequence[Image] = (),
    hostname: str = "",
    host: Host | None = None,
    **options: Unpack[Options],
) -> Container:
    """Make a container's layers and cgroup, and the plan that starts it.

    One of that name that this notebook made before is ended and replaced.

    Args: name; argv [its program; by default it waits]; root [host path of a file tree,
        or several, top first; by default the lab's own small Linux]; hostname [by
        default the name]; host [the probe's; None probes]; options [memory="64M",
        cpu=0.5, pids=32 and the others that Cgroup.limit takes; network="lab",
        publish=["8080:80"], volumes=["data:/data"] and the others of Options].
    Raises: ENOENT for a root that isn't there; DocumentError for a limit that can't be
        understood; StateError when another notebook has a container of this name.
        Without a cgroup of its own it has no limits, and its plan says so.
    """
    host = host or probe()
    trees = (root,) if isinstance(root, str | os.PathLike) else tuple(root)
    # Before the layers, because a container of this name would go on writing to them.
    cgroup = _cgroup(name, host)
    limits, wanted = split(options)
    with ExitStack() as undo:
        undo.enter_context(cgroup)
        cgroup.limit(**limits)
        layers = undo.enter_context(Overlay.create(name, trees or (rootfs("alpine"),)))
        plan = container_plan(layers, cgroup, hostname or name, argv, host)
        connections = connect(name, layers, wanted)
        undo.callback(connections.release)
        plan = connections.plan(plan, layers, hostname or name)
        undo.pop_all()
    return Container(name, plan, layers, cgroup, connections)


class Container(Handle):
    """A plan, the layers and the cgroup that it uses, and the child that it became."""

    kind: ClassVar[str] = "container"

    def __init__(
        self,
        name: str,
        plan: Plan,
        layers: Overlay,
        cgroup: Cgroup | NoCgroup,
        connections: Connections | None = None,
    ) -> None:
        self.name, self.plan, self.layers, self.cgroup = name, plan, layers, cgroup
        self.connections = connections or Connections()
        self.child: Child | None = None

    def fork(self) -> Child:
        """Start a child for the plan, parked before its first step: to go slowly.

        A container that has ended can be forked again; its changes are still there.

        Raises: StateError when it runs; what plan.fork() raises.
        """
        if self.child is not None and self.child.running:
            raise StateError(
                f"container {self.name}: runs already", f"{self.name}.stop() ends it"
            )
        self.stop()
        self.connections.ensure()
        self.child = self.plan.fork()
        return self.child

    def start(self) -> None:
        """Apply all steps; return when its program runs.

        Raises: what a step raises; then nothing of it runs.
        """
        try:
            self.fork().run()
        except BaseException:
            self.stop()
            raise

    def exec(self, argv: Sequence[str], *, timeout_s: float | None = 60) -> Result:
        """Run another program in the container, as `docker exec` does.

        It joins the container's cgroup and namespaces; what the container's own process
        is doing meanwhile doesn't matter.

        Args: argv [argv[0] is looked for along PATH, inside]; timeout_s [seconds].
        Raises: StateError when the container doesn't run; ContainerFailed when time is
            over; ENOENT when there is no such program inside.
        Needs: CAP_SYS_ADMIN in the owners of the namespaces.
        Kernel: setns(2).
        """
        kinds = Namespaces.of(self.pid) - Namespaces.of("self")
        there = JoinNamespaces(self.pid, reduce(or_, (kind.clone for kind in kinds)))
        plan = Plan(self.cgroup.join(), there, Fork(), Exec(tuple(argv)))
        return plan.run(timeout_s=timeout_s)

    @property
    def pid(self) -> HostPid:
        """Its first process, as the host counts.

        Raises: StateError when it doesn't run.
        """
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether its first process is there."""
        return self.child is not None and self.child.running

    @property
    def output(self) -> Text:
        """What its program has written to its stdout and stderr so far."""
        return Text() if self.child is None else self.child.output

    def wait(self, timeout_s: float | None = None) -> Exit:
        """Wait until its program has ended; return how.

        Raises: StateError when it was never started; ContainerFailed when time is over.
        """
        if self.child is None:
            raise self._not_there()
        return self.child.wait(timeout_s)

    def stop(self) -> None:
        """End its processes, at once; its layers and its cgroup stay."""
        if self.child is not None:
            self.child.stop()

    def remove(self) -> None:
        self.stop()
        with ExitStack() as each:  # the second is removed even when the first can't be
            each.callback(self.layers.remove)
            each.callback(self.cgroup.remove)
            each.callback(self.connections.release)

    def _running(self) -> Child:
        if self.child is None or not self.child.running:
            raise self._not_there()
        return self.child

    def _not_there(self) -> StateError:
        return StateError(
            f"container {self.name}: doesn't run",
            f"{self.name}.start(); {self.name}.output has what it said",
        )


def _own_namespaces(host: Host) -> Plan:
    # An ordinary user is allowed all others inside a user namespace of her own.
    if host.privilege.has(CAP.SYS_ADMIN):
        return Plan(Unshare(ALL))
    return Plan(Unshare(ALL | CLONE.NEWUSER), *steps_for(host))


def _dev(root: str, host: Host) -> Plan:
    ordinary = not host.privilege.has(CAP.SYS_ADMIN)
    return minimal_dev(root, host, user_namespace=ordinary)


# proc and sysfs hold no programs and no devices that anybody should use.
_CAREFUL = MS.NOSUID | MS.NODEV | MS.NOEXEC


def _cgroup(name: str, host: Host) -> Cgroup | NoCgroup:
    try:
        return Cgroup.create(name, host)
    except HostError:
        return NoCgroup(name)  # its step says so in the plan

"""Situation: all that a plan needs and config.json doesn't say.

Who the container is, where its bundle and its state lie, what the command line asked
for. A plan is made of (spec, host, situation), and of nothing else.
"""

from __future__ import annotations

from labkit.linux.views import HostPath, HostPid
from labkit.plan.step import Step
from labkit.primitives.cgroups.place import Place
from labkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Situation:
    """What the caller knows beside the spec.

    Args: container_id; bundle [host path: relative paths of the spec begin there];
        places [of its cgroup; () for none]; gate [the step at which it waits to be
        started; None starts at once]; console_fd [a connected socket for the
        terminal's master]; preserve_fds [how many descriptors from 3 on stay open];
        pivot [False moves the root mount instead, where pivot_root is refused];
        new_keyring [False keeps the caller's session keyring]; init [whether a small
        PID 1 reaps and forwards signals]; kept_programs [host path of a directory for
        compiled filters].
    """

    container_id: str
    bundle: HostPath
    places: tuple[Place, ...] = ()
    gate: Step | None = None
    console_fd: int | None = None
    preserve_fds: int = 0
    pivot: bool = True
    new_keyring: bool = True
    init: bool = False
    kept_programs: HostPath | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A container that runs, for a process that joins it.

    Args: pid [host pid of its first process]; places [of its cgroup]; console_fd and
        preserve_fds, kept_programs [as a Situation's].
    """

    pid: HostPid
    places: tuple[Place, ...] = ()
    console_fd: int | None = None
    preserve_fds: int = 0
    kept_programs: HostPath | None = None

"""The values that a probe returns: what this machine is and what it permits.

Reading order: Host, Privilege, UserNamespaces, IdRange. Tests build them by hand.
"""

from __future__ import annotations

import os

from labkit.host.cgroup_layout import CgroupLayout
from labkit.host.places import StatePlace
from labkit.host.surroundings import Distribution, Place, Tool
from labkit.host.trials import Trials
from labkit.linux.flags import CAP, NamespaceType
from labkit.linux.views import HostId, HostPath
from labkit.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Privilege:
    """What this process may do."""

    root: bool  # the effective uid is 0, in whichever user namespace
    capabilities: frozenset[CAP] = frozenset()  # effective
    lacks: frozenset[CAP] = frozenset()  # known to this Linux, and not ours
    no_new_privs: bool = False
    kinds: frozenset[NamespaceType] = frozenset(NamespaceType)  # that this Linux has
    inner: frozenset[NamespaceType] = frozenset()  # not the ones Linux started with

    def has(self, *capabilities: CAP) -> bool:
        """Say whether all these capabilities are effective."""
        return self.capabilities >= set(capabilities)

    @property
    def over_the_machine(self) -> bool:
        """Whether this is root of the machine and not only of a user namespace."""
        return self.root and NamespaceType.USER not in self.inner

    def __str__(self) -> str:
        if not self.root:
            return "ordinary user"
        inside = " in a user namespace" if NamespaceType.USER in self.inner else ""
        return f"root{inside}"


@dataclass(frozen=True, slots=True)
class UserNamespaces:
    """Limits and switches for user namespaces; None where Linux has no such file."""

    limit: int | None = None  # user.max_user_namespaces
    unprivileged_clone: bool | None = None  # kernel.unprivileged_userns_clone
    apparmor_restricts: bool | None = None  # apparmor_restrict_unprivileged_userns


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids on the host that this user may give to containers."""

    first: HostId
    count: int


@dataclass(frozen=True, slots=True, repr=False)
class Host:
    """Everything that the lab knows about this machine, read once."""

    release: str
    privilege: Privilege
    machine: str = "x86_64"
    distribution: Distribution = Distribution()
    place: Place = Place()
    user_namespaces: UserNamespaces = UserNamespaces()
    trials: Trials = Trials()
    cgroups: CgroupLayout = CgroupLayout()
    subordinate_uids: tuple[IdRange, ...] = ()
    subordinate_gids: tuple[IdRange, ...] = ()
    swap_bytes: int = 0
    state: StatePlace = StatePlace()
    tools: tuple[Tool, ...] = ()
    busybox: HostPath | None = None  # a static one
    user: str = field(default="", compare=False)

    def tool(self, name: str) -> HostPath | None:
        """Return where a program is, or None when it isn't installed."""
        return next((tool.path for tool in self.tools if tool.name == name), None)

    @property
    def linux(self) -> str:
        """The release's first two numbers: 6.18."""
        return ".".join(self.release.split("-")[0].split(".")[:2])

    def linux_at_least(self, major: int, minor: int) -> bool:
        """Compare the release by its numbers."""
        return tuple(map(int, self.linux.split("."))) >= (major, minor)

    def __str__(self) -> str:
        where = ", in the lab VM" if self.place.lab_vm else ""
        return f"{self.privilege} on Linux {self.linux}, {self.cgroups}{where}"

    def __repr__(self) -> str:
        return f"<Host: {self}>"


def machine_name() -> str:
    """Return this machine's name for its kind of processor: x86_64, aarch64."""
    return os.uname().machine

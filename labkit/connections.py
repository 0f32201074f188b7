"""What connects a container: its network and its volumes, in its plan. Chapters 13, 14.

    connect(name, layers, hostname, options)     leases, volumes
        .plan(plan)                              the same plan with their steps in it
        .ensure()                                before each start
        .release()                               nothing is left but named volumes

A container that asks for nothing gets a network namespace with nothing in it, as in
chapter 07, and none of this is loaded.

Reading order: Options, split, connect, Connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from labkit.errors import StateError
from labkit.linux.views import HostPid
from labkit.plan import Plan
from labkit.primitives.cgroups.limits import Wanted
from labkit.primitives.overlay import Overlay

if TYPE_CHECKING:
    from labkit.network import Attachment
    from labkit.volumes.placing import Placed


class Options(Wanted, total=False):
    """Limits, and what connects a container: the words of `docker run`."""

    network: str | Sequence[str]  # "bridge", a network's name, "none", "host" ...
    aliases: Sequence[str]  # --network-alias
    publish: Sequence[str]  # -p
    add_host: Sequence[str]  # --add-host
    dns: Sequence[str]  # --dns
    volumes: Sequence[str]  # -v
    mounts: Sequence[str]  # --mount
    tmpfs: Sequence[str]  # --tmpfs


_NETWORK = ("network", "aliases", "publish", "add_host", "dns")
_VOLUMES = ("volumes", "mounts", "tmpfs")


def split(options: Options) -> tuple[Wanted, Options]:
    """Return the limits among a container's options, and the rest."""
    ours = {*_NETWORK, *_VOLUMES}
    limits = {name: value for name, value in options.items() if name not in ours}
    rest = {name: value for name, value in options.items() if name in ours}
    return cast(Wanted, limits), cast(Options, rest)


@dataclass(frozen=True, slots=True)
class Connections:
    """What a container has beside its layers and its cgroup."""

    attachment: Attachment | None = None
    placed: Placed | None = None

    def plan(self, plan: Plan, layers: Overlay, hostname: str) -> Plan:
        """Return a container's plan with its network and its volumes in it."""
        if self.attachment is not None:
            plan = self.attachment.plan(plan, layers.directory, hostname)
        return plan if self.placed is None else self.placed.plan(plan)

    def ensure(self) -> None:
        """See to it that what a start asks is there."""
        if self.attachment is not None:
            self.attachment.ensure()

    def release(self) -> None:
        """Give back address, ports and names; note that volumes are unused."""
        with ExitStack() as each:  # the second even when the first can't be
            if self.placed is not None:
                each.callback(self.placed.leave)
            if self.attachment is not None:
                each.callback(self.attachment.release)


def connect(name: str, layers: Overlay, options: Options) -> Connections:
    """Make what a container's options ask for; all of it or nothing.

    Raises: DocumentError for an option that can't be understood; StateError for a
        network that isn't there or is full; HostError for what only root may do.
    """
    given: Mapping[str, Any] = options
    with ExitStack() as undo:
        placed = _placed(name, layers, given) if given.keys() & _VOLUMES else None
        if placed is not None:
            undo.callback(placed.leave)
        attachment = _attached(name, given) if given.keys() & _NETWORK else None
        if attachment is not None:
            undo.callback(attachment.release)
        undo.pop_all()
        return Connections(attachment, placed)


def _placed(name: str, layers: Overlay, given: Mapping[str, Any]) -> Placed:
    from labkit.volumes import read_mount, read_tmpfs, read_volume
    from labkit.volumes.placing import place

    readers = {"volumes": read_volume, "mounts": read_mount, "tmpfs": read_tmpfs}
    wanted = [
        read(text) for key, read in readers.items() for text in given.get(key, ())
    ]
    placed = place(name, wanted)
    try:
        placed.seed(layers)
    except BaseException:
        placed.leave()
        raise
    return placed


def _attached(name: str, given: Mapping[str, Any]) -> Attachment:
    from labkit.network import Wish, attach

    network = given.get("network", "bridge")
    networks = (network,) if isinstance(network, str) else tuple(network)
    words = ("aliases", "publish", "add_host", "dns")
    wish = Wish(networks, *(tuple(given.get(word, ())) for word in words))
    _, shared, whose = networks[0].partition("container:")
    return attach(name, wish, _pid_of(whose) if shared else HostPid(0))


def _pid_of(container: str) -> HostPid:
    from labkit.network.leases import Lease

    lease = Lease.of(container)
    if lease is None or not lease.runs:
        raise StateError(
            f"container {container!r}: doesn't run, or has no network",
            "start it first; give it network=...",
            meaning="its network namespace is what was to be shared",
        )
    return lease.pid

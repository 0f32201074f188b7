"""Leases: which container has which address, ports and names. Chapter 13.

Each is a file of its own, written before anything is made in Linux; so whoever looks
later, after a kill -9 too, knows whose address, port, rule and bridge that was.

    owner    the process that asked for it
    pid      the container's first process, from its start on

When both have ended, the lease is over: a container with a monitor outlives its owner.

Reading order: Endpoint, Lease, leases, on.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from labkit import state
from labkit.linux.views import HostPath, HostPid
from labkit.network.ports import Port
from labkit.plan.family import start_time
from labkit.plan.handle import checked_name

_FOLDER = "leases"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a cable: a container's place on a network."""

    network: str
    address: str
    mac: str
    near: str  # the link at the bridge
    far: str  # the link inside: eth0, eth1
    aliases: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Read what `asdict` wrote."""
        return cls(**{**fields, "aliases": tuple(fields["aliases"])})


@dataclass(frozen=True, slots=True)
class Lease:
    """What a container has on its networks."""

    container: str
    endpoints: tuple[Endpoint, ...]
    ports: tuple[Port, ...] = ()
    dns: tuple[str, ...] = ()  # name servers to ask instead of the host's
    owner: HostPid = HostPid(0)
    owner_start: int = 0  # clock ticks after boot: a pid alone is used again
    pid: HostPid = HostPid(0)  # 0 before it has started
    pid_start: int = 0

    @classmethod
    def of(cls, container: str) -> Self | None:
        """Return a container's lease; None when it has none that can be read."""
        try:
            fields = json.loads(Path(_path(container)).read_bytes())
            return cls._from_json(fields)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None  # half a file of a power cut: nothing of it runs any more

    @property
    def alive(self) -> bool:
        """Whether the process that asked for it is there, or its container runs."""
        return self.owner_start == start_time(self.owner) != 0 or self.runs

    @property
    def runs(self) -> bool:
        """Whether the container's first process is there."""
        return bool(self.pid) and self.pid_start == start_time(self.pid) != 0

    def owned(self) -> Self:
        """Return the lease with this process as its owner."""
        me = HostPid(os.getpid())
        return replace(self, owner=me, owner_start=start_time(me) or 0)

    def started(self, pid: HostPid) -> Self:
        """Return the lease with the container's first process in it."""
        return replace(self, pid=pid, pid_start=start_time(pid) or 0)

    def write(self) -> None:
        """Write it down. Not durable: a power cut ends its container as well."""
        state.write(_path(self.container), json.dumps(asdict(self)), durable=False)

    def forget(self) -> None:
        """Remove its file. May be called twice."""
        Path(_path(self.container)).unlink(missing_ok=True)

    @classmethod
    def _from_json(cls, fields: dict[str, Any]) -> Self:
        endpoints = tuple(map(Endpoint.from_json, fields["endpoints"]))
        ports = tuple(Port(**port) for port in fields["ports"])
        dns = tuple(fields["dns"])
        return cls(**{**fields, "endpoints": endpoints, "ports": ports, "dns": dns})


def leases() -> tuple[Lease, ...]:
    """Return every lease that is written down, by container; dead ones as well."""
    paths = sorted(Path(state.location(), _FOLDER).glob("*.json"))
    found = (Lease.of(path.stem) for path in paths)
    return tuple(lease for lease in found if lease is not None)


def on(network: str) -> tuple[tuple[Lease, Endpoint], ...]:
    """Return the living leases on a network, each with its endpoint there."""
    return tuple(
        (lease, endpoint)
        for lease in leases()
        for endpoint in lease.endpoints
        if endpoint.network == network and lease.alive
    )


def _path(container: str) -> HostPath:
    folder = state.directory(_FOLDER)
    return HostPath(
        os.path.join(folder, f"{checked_name('container', container)}.json")
    )

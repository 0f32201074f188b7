"""What the network's process holds for one container. Chapter 13.

    relays      listen on the host's ports and carry bytes to the container
    resolver    listens inside, and knows the neighbours' names

Reading order: Room, bind.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import replace

from labkit.errors import LabError, StateError
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.network import bridges
from labkit.network.leases import Endpoint, Lease, leases
from labkit.network.names import ADDRESS, PORT
from labkit.network.networks import DEFAULT, Network
from labkit.network.ports import Port, who_has
from labkit.network.relay import Relay, TcpRelay, UdpRelay
from labkit.network.resolver import Resolver, upstream_servers

_BACKLOG = 512


class Room:
    """One container's ports and names, from its reservation to its end."""

    def __init__(self, lease: Lease, *, natted: bool) -> None:
        self.lease, self.natted = lease, natted
        self._relays: list[Relay] = []
        self._resolver: Resolver | None = None

    async def open(self) -> None:
        """Bind its ports; write down which were taken where several would have done.

        Raises: StateError for one that is taken, saying by whom.
        """
        ports: list[Port] = []
        try:
            for port in self.lease.ports:
                ports.append(await self._publish(port))
        except BaseException:
            self.close()
            raise
        if tuple(ports) != self.lease.ports:  # one was found among several
            self.lease = replace(self.lease, ports=tuple(ports))
            self.lease.write()
        if self.lease.runs:
            await self.started(self.lease)

    async def started(self, lease: Lease) -> None:
        """Answer names inside, now that there is an inside."""
        self.lease = lease
        for place in lease.endpoints:
            bridges.pin(place)
        self._resolver = Resolver(self._addresses, self._name, self._servers)
        await self._resolver.listen(*_sockets_inside(lease.pid))

    def close(self) -> None:
        """Let go of everything."""
        for relay in self._relays:
            relay.close()
        if self._resolver is not None:
            self._resolver.close()

    async def _publish(self, port: Port) -> Port:
        for number in port.choices:
            try:
                listening = tuple(bind(replace(port, number=number, last=0)))
                break
            except OSError as refused:
                taken = refused
        else:
            raise _not_bound(port, taken)
        target = (self.lease.endpoints[0].address, port.inside)
        for one in listening:
            self._relays.append(await _relay(one, target))
        return replace(port, number=number, last=0)

    def _addresses(self, name: str) -> tuple[str, ...]:
        return tuple(
            place.address
            for lease, place in self._neighbours()
            if name in _names(lease, place)
        )

    def _name(self, address: str) -> str:
        for lease, place in self._neighbours():
            if place.address == address:
                return f"{lease.container}.{place.network}"
        return ""

    def _neighbours(self) -> Iterator[tuple[Lease, Endpoint]]:
        ours = {place.network for place in self.lease.endpoints} - {DEFAULT}
        for lease in leases():
            for place in lease.endpoints:
                if place.network in ours and lease.runs:
                    yield lease, place

    def _servers(self) -> tuple[str, ...]:
        # From a network without a way out nothing is asked outside, names included.
        nets = [Network.of(place.network) for place in self.lease.endpoints]
        if all(network.internal for network in nets):
            return ()
        return self.lease.dns or upstream_servers()


def bind(port: Port) -> Iterator[socket.socket]:
    """Yield bound sockets for a port of the host's: two where it has IPv6 as well.

    Raises: OSError as bind(2) does.
    """
    kind = socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM
    sixth = ":" in port.address
    if not sixth:
        yield _bound(socket.AF_INET, kind, (port.address, port.number))
    if sixth or (not port.address and _has_ipv6()):
        yield _bound(socket.AF_INET6, kind, (port.address, port.number))


def _bound(family: int, kind: int, address: tuple[str, int]) -> socket.socket:
    bound = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Connections of the port's last user may wait for their last packets.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        if kind == socket.SOCK_STREAM:
            bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _has_ipv6() -> bool:
    return os.path.exists("/proc/net/if_inet6") and bool(
        open("/proc/net/if_inet6").read()
    )


async def _relay(bound: socket.socket, target: tuple[str, int]) -> Relay:
    if bound.type == socket.SOCK_STREAM:
        return TcpRelay(bound, target)
    loop = asyncio.get_running_loop()
    _, relay = await loop.create_datagram_endpoint(lambda: UdpRelay(target), sock=bound)
    return relay


def _names(lease: Lease, place: Endpoint) -> set[str]:
    names = {lease.container, *place.aliases}
    return {n.lower() for n in names} | {f"{n}.{place.network}".lower() for n in names}


def _sockets_inside(pid: HostPid) -> tuple[socket.socket, socket.socket]:
    # This thread goes in, makes them, and comes back: a socket stays where it was made.
    linux = Linux(forked=True)
    # ENOENT, when the container has just ended: before there is anything to close.
    inside = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(inside, CLONE.NEWNET)
        udp = _bound(socket.AF_INET, socket.SOCK_DGRAM, (ADDRESS, PORT))
        tcp = _bound(socket.AF_INET, socket.SOCK_STREAM, (ADDRESS, PORT))
    finally:
        linux.setns(home, CLONE.NEWNET)
        os.close(home)
        os.close(inside)
    return udp, tcp


def _not_bound(port: Port, refused: OSError) -> LabError:
    where = f"{port.address or '0.0.0.0'}:{port.number}/{port.protocol}"
    if refused.errno != errno.EADDRINUSE:
        return StateError(
            f"published port {where}: {errno.errorcode.get(refused.errno or 0)}",
            "publish on an address that this host has: ip address",
            "bind(2)",
            meaning=os.strerror(refused.errno or 0),
        )
    return StateError(
        f"published port {where}: taken",
        f"choose another port, or let one be found: -p {port.inside}",
        "bind(2)",
        meaning=f"{_holder(port)} has it",
    )


def _holder(port: Port) -> str:
    if port.last:
        return f"every port up to {port.last} is taken; somebody"
    for lease in leases():
        if lease.runs and any(p.number == port.number for p in lease.ports):
            return f"container {lease.container!r}"
    name = who_has(port.number, port.protocol)
    return f"the program {name!r} of this host" if name else "a program of this host"

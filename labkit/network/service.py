"""The network's own process: bridges, published ports, names, rules. Chapter 13.

    python -m labkit.network.service FD     FD listens on <state>/network/socket

One for each state directory, started with the first lease and gone with the last. It
acts on what is written in the leases, so after a kill -9 the next one goes on where it
stopped. It watches the containers' processes: one that has ended, however it did, holds
no port, name or rule any more.

    reserve NAME       its bridges are there, its ports answer; the start may go on
    started NAME PID   its names are answered inside
    release NAME       its lease is gone; what was made for it goes

Reading order: main, Service, Room (room.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from labkit import state
from labkit.errors import DocumentError, HostError, LabError, StateError
from labkit.linux.views import HostPid
from labkit.network import bridges, client, firewall, nft
from labkit.network.leases import Endpoint, Lease, leases
from labkit.network.networks import LOCK, Network
from labkit.network.room import Room

# Bridges and the process stay for a moment after the last container: the next one may
# come at once, and removing a bridge takes 30 ms.
LINGER_S = 1.0
_MOST_WORDS = 3


class Service:
    """What the process holds: a room for each container that has started."""

    def __init__(self) -> None:
        self.rooms: dict[str, Room] = {}
        self._watched: dict[tuple[int, int], int] = {}  # pid, start -> pidfd
        self._one_at_a_time = asyncio.Lock()
        self._rules: str | None = None  # what an earlier process left isn't known
        self._bridges: set[str] = set()  # names of networks
        self._known: dict[Endpoint, str] = {}  # in the host's table of neighbours
        self._tidying: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.over = asyncio.Event()

    async def restore(self) -> None:
        """Go on with what the leases say: after a kill -9 of an earlier process."""
        for lease in leases():
            if not lease.alive:
                lease.forget()
                continue
            self._watch_owner(lease)
            if lease.runs:
                await self._open(lease)
                self._watch_container(lease)
        await self._settle()

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Do what one client asks; tell it what went wrong."""
        with contextlib.suppress(OSError, ValueError):  # it has gone, or spoke nonsense
            words = (await reader.readline()).decode().split()
            error = await self._obeyed(words[:_MOST_WORDS])
            told: dict[str, Any] = {"error": error.to_json()} if error else {}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _obeyed(self, words: list[str]) -> LabError | None:
        verbs: dict[str, Callable[..., Awaitable[None]]] = {
            "reserve": self._reserve,
            "started": self._started,
            "release": self._release,
        }
        async with self._one_at_a_time:
            try:
                await verbs[words[0]](*words[1:])
            except LabError as error:
                return error
            except (KeyError, TypeError, IndexError):
                return DocumentError(f"network service: {words} is no request")
        return None

    async def _reserve(self, name: str) -> None:
        lease = _lease_of(name)
        await self._close(name)
        try:
            await self._open(lease)
            await self._settle()
        except BaseException:
            await self._close(name)
            raise
        self._watch_owner(lease)

    async def _started(self, name: str, pid: str) -> None:
        lease = _lease_of(name).started(HostPid(int(pid)))
        if name not in self.rooms:
            await self._open(lease)
            await self._settle()
        room = self.rooms[name]
        lease = room.lease.started(lease.pid)
        lease.write()
        await room.started(lease)
        self._watch_container(lease)

    async def _release(self, name: str) -> None:
        await self._close(name)
        self._forget_the_gone()
        await self._settle()

    async def _open(self, lease: Lease) -> None:
        for place in lease.endpoints:
            network = Network.of(place.network)
            self._bridges.add(network.name)
            if bridges.bring_up(network):
                bridges.plug_in_again(network, self._running)
                self._known = {p: n for p, n in self._known.items() if n in self.rooms}
            if place not in self._known:
                bridges.know(place)
                self._known[place] = lease.container
        passing = "" if not lease.ports else await asyncio.to_thread(nft.obstacle)
        room = self.rooms[lease.container] = Room(lease, natted=not passing)
        await room.open()

    async def _close(self, name: str) -> None:
        room = self.rooms.pop(name, None)
        if room is not None:
            room.close()

    def _forget_the_gone(self) -> None:
        # An address stays known while it is a container's, whether that runs or not.
        for place, name in tuple(self._known.items()):
            if Lease.of(name) is None:
                bridges.forget(place)
                del self._known[place]

    async def _settle(self, *, tidy: bool = True) -> None:
        # The rules are the last to be made and the first to be changed back: no packet
        # goes to an address that somebody else has by now.
        networks = [net for net in Network.all() if net.name in self._bridges]
        natted = [room.lease for room in self.rooms.values() if room.natted]
        text = firewall.rules(networks, natted)
        if text != self._rules:
            await asyncio.to_thread(bridges.set_rules, text)
            self._rules = text
        if tidy:
            self._tidy_later()

    @property
    def _running(self) -> list[Lease]:
        return [room.lease for room in self.rooms.values()]

    def _watch_owner(self, lease: Lease) -> None:
        self._watch(lease.owner, lease.owner_start, self._owner_ended)

    def _watch_container(self, lease: Lease) -> None:
        self._watch(lease.pid, lease.pid_start, self._ended)

    def _watch(self, pid: int, start: int, then: Callable[[], Awaitable[None]]) -> None:
        if (pid, start) in self._watched:
            return
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:  # ESRCH: it was quick
            self._begin(then())
            return
        self._watched[pid, start] = pidfd

        def ended() -> None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(self._watched.pop((pid, start)))
            self._begin(then())

        asyncio.get_running_loop().add_reader(pidfd, ended)

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ended(self) -> None:
        async with self._one_at_a_time:
            for name, room in tuple(self.rooms.items()):
                if room.lease.pid and not room.lease.runs:
                    await self._close(name)
                    self._forget_without_owner(name)
            await self._settle()

    async def _owner_ended(self) -> None:
        async with self._one_at_a_time:
            for lease in leases():
                if not lease.alive:
                    lease.forget()
                    await self._close(lease.container)
            self._forget_the_gone()
            await self._settle()

    def _forget_without_owner(self, name: str) -> None:
        lease = Lease.of(name)
        if lease is not None and not lease.alive:
            lease.forget()
            self._forget_the_gone()

    def _tidy_later(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
        loop = asyncio.get_running_loop()
        self._tidying = loop.call_later(LINGER_S, lambda: self._begin(self._tidy()))

    async def _tidy(self) -> None:
        async with self._one_at_a_time:
            self._bridges = {p.network for one in self._running for p in one.endpoints}
            await self._settle(tidy=False)
            for network in Network.all():
                if network.name not in self._bridges:
                    await asyncio.to_thread(bridges.take_down, network)
            # A client writes its lease under the same lock: it finds this process
            # either with a lease to serve, or gone.
            with contextlib.suppress(HostError), state.lock(LOCK, timeout_s=0):
                if not self.rooms and not leases():
                    client.forget_socket()
                    self.over.set()
                    return
        if not self.rooms:
            self._tidy_later()


async def serve(listening: socket.socket) -> None:
    """Answer clients until there is no lease any more."""
    service = Service()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.over.set)
    await service.restore()
    server = await asyncio.start_unix_server(service.answer, sock=listening)
    await service.over.wait()
    server.close()
    for name in tuple(service.rooms):
        service.rooms.pop(name).close()


def main() -> None:
    """Be the service, on a socket that whoever started this has bound."""
    with open("/proc/self/comm", "w") as comm:
        comm.write(client.COMM)
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


def _lease_of(name: str) -> Lease:
    lease = Lease.of(name)
    if lease is None:
        raise StateError(
            f"container {name}: has no place on a network",
            "make it again: container(..., network=...)",
            meaning="its lease was removed, by `labkit sweep` for instance",
        )
    return lease


if __name__ == "__main__":
    main()

"""Who is connected to whom, as one value: before and after can be compared. Chapter 13.

    before = Topology.read()
    ...
    Topology.read() - before      what came, what went

      host ------ labkit0 ----+---- eth0  web  10.90.0.2
        |                     `---- eth0  db   10.90.0.3
      127.0.0.1:8080 -> 80 web

It is read from /proc, for each container by way of its first process; nothing is asked
inside.

Reading order: Topology, Place, Talk, routes.
Left out: IPv6; what a namespace holds that no container with a lease is in.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from labkit.network import firewall
from labkit.network.leases import Lease, leases
from labkit.network.networks import Network
from labkit.network.ports import Port
from labkit.text import Text

_ESTABLISHED = "01"  # net/tcp_states.h
_UP = 0x1  # route.h, RTF_UP


@dataclass(frozen=True, slots=True)
class Link:
    """A network card, real or made: its name, and the bridge that it is a port of."""

    name: str
    bridge: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A destination, and through whom it is reached ("" is: directly)."""

    destination: str
    link: str
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """One network namespace: the host's, or a container's."""

    name: str
    links: tuple[Link, ...]
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]


@dataclass(frozen=True, slots=True, order=True)
class Talk:
    """A connection: who asked whom, and for which port."""

    asks: str
    answers: str
    port: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a topology has that another hasn't, a line each."""

    came: tuple[str, ...]
    went: tuple[str, ...]

    def text(self) -> Text:
        """Return a line for each: "+" came, "-" went."""
        lines = [f"+ {line}" for line in self.came] + [f"- {x}" for x in self.went]
        return Text("\n".join(lines) or "nothing has changed")


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything at one moment. The host's place is the first."""

    places: tuple[Place, ...]
    networks: tuple[Network, ...]
    ports: tuple[tuple[str, Port], ...]  # container, port
    rules: tuple[str, ...]  # of the lab's table, a line each
    talks: tuple[Talk, ...]

    @classmethod
    def read(cls) -> Self:
        """Look at the host, and at each container that runs on a network.

        Needs: root, for what is in other processes' /proc.
        """
        running = [lease for lease in leases() if lease.runs]
        host = _place("host", "self", _ports_of_bridges(running))
        places = [host, *(_place(one.container, str(one.pid)) for one in running)]
        owners = {
            address: place.name for place in places for address in place.addresses
        }
        talks = (talk for lease in running for talk in _talks(lease, owners))
        return cls(
            tuple(places),
            Network.all(),
            tuple((lease.container, port) for lease in running for port in lease.ports),
            tuple(line.strip() for line in firewall.listed().splitlines()),
            tuple(sorted(set(talks))),
        )

    def __sub__(self, earlier: Self) -> Change:
        """Return what came and what went since an earlier look."""
        now, then = tuple(self._lines()), tuple(earlier._lines())
        came = tuple(line for line in now if line not in then)
        return Change(came, tuple(line for line in then if line not in now))

    def text(self) -> Text:
        """Return all of it, a line for each fact."""
        return Text("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        for place in self.places:
            for link in place.links:
                plugged = f", plugged into {link.bridge}" if link.bridge else ""
                yield f"{place.name}: link {link.name}{plugged}"
            yield from (f"{place.name}: address {one}" for one in place.addresses)
            for route in place.routes:
                through = f" through {route.gateway}" if route.gateway else ""
                how = f"by {route.link}{through}"
                yield f"{place.name}: route {route.destination} {how}"
        yield from (f"{name}: published {port}" for name, port in self.ports)
        yield from (f"rule: {rule}" for rule in self.rules if not rule.endswith("{"))
        yield from (f"{t.asks} talks to {t.answers}:{t.port}" for t in self.talks)


def routes(table: Path) -> Iterator[Route]:
    """Read the routes of a network namespace.

    Args: table [/proc/PID/net/route, of any process in it].
    Kernel: proc(5).
    """
    for line in _rows(table, 1):
        link, destination, gateway, flags, _, _, _, mask, *_ = line.split()
        if int(flags, 16) & _UP:
            length = int(mask, 16).bit_count()
            to = f"{_dotted(destination)}/{length}" if length else "default"
            through = "" if int(gateway, 16) == 0 else _dotted(gateway)
            yield Route(to, link, through)


def _ports_of_bridges(running: Iterable[Lease]) -> dict[str, tuple[str, str]]:
    # A cable's end at the bridge has a name without meaning: the container's is told.
    bridges = {network.name: network.bridge for network in Network.all()}
    return {
        place.near: (f"cable of {lease.container}", bridges[place.network])
        for lease in running
        for place in lease.endpoints
        if place.network in bridges
    }


def _place(
    name: str, pid: str, known: dict[str, tuple[str, str]] | None = None
) -> Place:
    folder = Path("/proc", pid, "net")
    names = [row.split(":")[0].strip() for row in _rows(folder / "dev", 2)]
    links = [Link(*(known or {}).get(one, (one,))) for one in names]
    return Place(
        name,
        tuple(sorted(links, key=lambda link: (link.bridge, link.name))),
        tuple(_addresses(folder / "fib_trie")),
        tuple(routes(folder / "route")),
    )


def _addresses(table: Path) -> Iterator[str]:
    # Its leaves are "|-- 10.90.0.2" lines; the next line says what kind it is.
    seen, lines = set(), table.read_text().splitlines()
    for line, following in zip(lines, lines[1:], strict=False):
        if "/32 host LOCAL" in following:
            address = line.rpartition(" ")[2]
            if address not in seen and not address.startswith("127."):
                seen.add(address)
                yield address


def _talks(lease: Lease, owners: dict[str, str]) -> Iterator[Talk]:
    rows = [row.split() for row in _connections(lease)]
    listening = {row[1].rpartition(":")[2] for row in rows if row[3] == "0A"}
    for _, here, there, state, *_ in rows:
        port = here.rpartition(":")[2]
        if state != _ESTABLISHED:
            continue
        other = _dotted(there.rpartition(":")[0][-8:])
        name = owners.get(other, "somebody outside")
        if port in listening:
            yield Talk(name, lease.container, int(port, 16))
        elif name != "somebody outside":
            yield Talk(lease.container, name, int(there.rpartition(":")[2], 16))


def _connections(lease: Lease) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        table = Path("/proc", str(lease.pid), "net", name)
        if table.exists():
            yield from _rows(table, 1)


def _rows(table: Path, skipped: int) -> list[str]:
    return table.read_text().splitlines()[skipped:]


def _dotted(hexadecimal: str) -> str:
    return socket.inet_ntoa(struct.pack("=I", int(hexadecimal, 16)))

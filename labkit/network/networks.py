"""Networks: a name, a subnet, and a bridge while somebody is on it. Chapter 13.

    lab = Network.create("lab")       written down; nothing happens in Linux yet
    container("web", network="lab")   the bridge is there from the first start
    lab.text()                        who is on it, under which names
    lab.remove()                      when nobody is

Containers on a network that was made find each other by name. The network "bridge" is
always there; on it there are addresses only, as with Docker.

Reading order: Network; its subnet: subnets.py, its containers: leases.py.
Left out: drivers other than bridge; IPv6; changing a network that is there.
"""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Self

from labkit import state
from labkit.errors import DocumentError, StateError
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.network import nft, subnets
from labkit.network.leases import on
from labkit.network.subnets import Subnet
from labkit.plan.handle import checked_name
from labkit.text import Text

DEFAULT = "bridge"
"""The network of a container that asks for none in particular."""

NOT_NETWORKS = ("none", "host", "default")
PREFIX = "labkit"
LOCK = "network"
_FOLDER = "networks"
_USUAL = "/var/lib/labkit"  # root's; only root has networks


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it is written down; `create` and `of` make the value."""

    name: str
    subnet: str  # "10.90.0.0/24"
    bridge: str  # the link's name, when it is there
    internal: bool = False  # no way out, and none in but through published ports

    @classmethod
    def create(cls, name: str, *, subnet: str = "", internal: bool = False) -> Self:
        """Write down a network; one of that name that is the same is kept.

        Args: name; subnet [by default one that this host doesn't use]; internal [True:
            no way out].
        Raises: StateError when another network has the name or overlaps, or this host
            has a route there; DocumentError for a name or subnet that is none.
        """
        if name in NOT_NETWORKS:
            raise DocumentError(
                f"network {name!r}: this name has a meaning of its own",
                "choose another name",
            )
        with state.lock(LOCK):
            there = cls._read(name)
            if there is None:
                there = cls(name, str(_subnet(subnet)), _free_bridge(), internal)
                there.write()
            elif (subnet and there.subnet != subnet) or there.internal != internal:
                raise StateError(
                    f"network {name!r}: is there, and different",
                    f"Network.of({name!r}).remove(), or choose another name",
                )
            return there

    @classmethod
    def of(cls, name: str) -> Self:
        """Return the network of a name.

        Raises: StateError when there is none.
        """
        there = cls._read(name)
        if there is None:
            names = ", ".join(network.name for network in cls.all()) or "none"
            raise StateError(
                f"network {name!r}: there is none of this name",
                f"Network.create({name!r})",
                meaning=f"those that there are: {names}",
            )
        return there

    @classmethod
    def default(cls) -> Self:
        """Return the network that is always there; write it down the first time."""
        return cls._read(DEFAULT) or cls.create(DEFAULT)

    @classmethod
    def all(cls) -> tuple[Self, ...]:
        """Return every network that is written down, by name."""
        paths = sorted(Path(state.location(), _FOLDER).glob("*.json"))
        found = (cls._read(path.stem) for path in paths)
        return tuple(network for network in found if network is not None)

    @property
    def gateway(self) -> str:
        """The bridge's own address: the first of the subnet."""
        return str(next(Subnet(self.subnet).hosts()))

    @property
    def prefix_length(self) -> int:
        """How many bits of an address are the network's."""
        return Subnet(self.subnet).prefixlen

    def remove(self) -> None:
        """Forget the network. May be called twice.

        Raises: StateError when containers are on it.
        """
        with state.lock(LOCK):
            there = [lease.container for lease, _ in on(self.name)]
            if there:
                raise StateError(
                    f"network {self.name!r}: containers are on it",
                    f"remove them first: {', '.join(there)}",
                )
            Path(_path(self.name)).unlink(missing_ok=True)
            # Its bridge may be there for a moment longer than its last container.
            if self.bridge in {name for _, name in socket.if_nameindex()}:
                Linux().rtnetlink("link del", link=self.bridge)

    def text(self) -> Text:
        """Return the network, and a line for each container on it."""
        lines = [f"{self.name}: {self.subnet}, gateway {self.gateway}"]
        for lease, place in on(self.name):
            names = ", ".join((lease.container, *place.aliases))
            lines.append(f"  {place.address:15} {names}")
        return Text("\n".join(lines))

    def way_out(self) -> Text:
        """Say whether a container on it reaches what is beyond this host; why not."""
        reason = "it is internal" if self.internal else nft.obstacle()
        return Text(f"no way out: {reason}" if reason else "a way out, by this host")

    def write(self) -> None:
        """Write the network down; a power cut leaves the old file or the new one."""
        state.write(_path(self.name), json.dumps(asdict(self)))

    @classmethod
    def _read(cls, name: str) -> Self | None:
        try:
            return cls(**json.loads(Path(_path(name)).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise StateError(
                f"network {name!r}: its file can't be read",
                f"remove {_path(name)}",
                meaning="another version of the lab wrote it, or a disk lost a part",
            ) from None


def _subnet(text: str) -> Subnet:
    in_use = [(Subnet(net.subnet), f"network {net.name!r}") for net in Network.all()]
    in_use += [(subnet, f"this host's route over {link}") for subnet, link in _routes()]
    if not text:
        return subnets.free_subnet((subnet for subnet, _ in in_use), tag())
    wanted = subnets.read_subnet(text)
    for other, whose in in_use:
        if wanted.overlaps(other):
            raise StateError(
                f"subnet {text}: overlaps {other}",
                "choose another, or none: the lab finds one that is free",
                meaning=f"that is {whose}; packets would go to one of the two only",
            )
    return wanted


def _routes() -> Iterator[tuple[Subnet, str]]:
    # Routes over the lab's own bridges are told by their networks, with better names.
    ours = {network.bridge for network in Network.all()}
    return (row for row in subnets.taken() if row[1] not in ours)


def tag(home: str = "") -> str:
    """Return what tells this state's links and rules from another's on the same host.

    Args: home [host path of another state directory; "" for this one's].
    Returns: "" for the usual state directory, else a few letters and digits.
    """
    home = home or state.location()
    return "" if home == _USUAL else f"{zlib.crc32(home.encode()):08x}"[:4]


def _free_bridge() -> str:
    links = {name for _, name in socket.if_nameindex()}
    used = links | {network.bridge for network in Network.all()}
    stem = f"{PREFIX}-{tag()}-" if tag() else PREFIX
    names = (f"{stem}{number}" for number in count())
    return next(name for name in names if name not in used)


def _path(name: str) -> HostPath:
    folder = state.directory(_FOLDER)
    return HostPath(os.path.join(folder, f"{checked_name('network', name)}.json"))

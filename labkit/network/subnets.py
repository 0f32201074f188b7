"""Subnets that nobody on this host uses, and free addresses in them. Chapter 13.

A container's subnet that is also the host's office network would make the office
unreachable: so the host's routes are read before one is chosen.

Reading order: taken, free_subnet, read_subnet, free_address.
Left out: IPv6; routes in tables other than main (some VPNs have them).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from labkit.errors import DocumentError, StateError

# Of the addresses that everybody may use at home (RFC 1918), a part that neither
# Docker nor podman nor libvirt begins with.
POOL = ipaddress.IPv4Network("10.90.0.0/16")
PREFIX_LENGTH = 24
# RFC 6890: "this network", the loopback, and multicast with all behind it.
_NEVER = tuple(map(ipaddress.IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
# From the end: two more addresses of every subnet are the network's own.
SMALLEST = 30

Subnet = ipaddress.IPv4Network


def taken(route_file: Path = Path("/proc/net/route")) -> tuple[tuple[Subnet, str], ...]:
    """Return the subnets that this host's routes lead to, each with its link.

    The default route isn't among them: it leads everywhere.

    Kernel: proc(5), /proc/net/route.
    """
    return tuple(_routes(route_file.read_text().splitlines()[1:]))


def free_subnet(used: Iterable[Subnet], tag: str = "") -> Subnet:
    """Return the first subnet of the pool that overlaps none in use.

    Args: used; tag [of the state directory, hexadecimal: each begins elsewhere in the
        pool, because another one's subnets can't be seen while nobody is on them].
    Raises: StateError when the host's routes, or other networks, cover them all.
    """
    used = tuple(used)
    pool = list(POOL.subnets(new_prefix=PREFIX_LENGTH))
    first = int(tag or "0", 16) % len(pool)
    for subnet in pool[first:] + pool[:first]:
        if not any(subnet.overlaps(other) for other in used):
            return subnet
    raise StateError(
        f"network: no subnet of {POOL} is free",
        'remove a network, or name a subnet: Network.create(..., subnet="...")',
        meaning="this host's routes and the lab's networks cover them all",
    )


def read_subnet(text: str) -> Subnet:
    """Read a subnet that a user names.

    Raises: DocumentError for one that can't be understood or is too small.
    """
    try:
        subnet = Subnet(text)
    except ValueError as problem:
        raise DocumentError(
            f"subnet {text!r}: can't be understood",
            '"10.99.0.0/24": zeros after the part that is the network\'s',
            meaning=str(problem),
        ) from None
    if subnet.prefixlen > SMALLEST:
        raise DocumentError(
            f"subnet {text!r}: too small",
            f"one of /{SMALLEST} or larger",
            meaning="it needs an address for the network, for everybody, the gateway, "
            "and a container",
        )
    for never in _NEVER:
        if subnet.overlaps(never):
            raise DocumentError(
                f"subnet {text!r}: overlaps {never}",
                "one of your own: 10.99.0.0/24, or another below 10.0.0.0/8",
                meaning="these are addresses of no machine, or of every machine itself",
            )
    return subnet


def free_address(subnet: Subnet, used: Iterable[str]) -> str:
    """Return the first address that nobody has; the gateway has the first of all.

    Raises: StateError when all are used.
    """
    busy = set(used)
    hosts = subnet.hosts()
    next(hosts)
    for address in hosts:
        if str(address) not in busy:
            return str(address)
    raise StateError(
        f"network {subnet}: no address is free",
        "remove a container from it, or make a network with a larger subnet",
        meaning=f"{subnet.num_addresses - 3} containers fit in, and they are there",
    )


def mac_of(address: str) -> str:
    """Return the MAC address that belongs to an address, as Docker makes it.

    It begins with 02: made here, not by a factory. The same address always has the
    same one, so no neighbour remembers a wrong one.
    """
    return "02:42:" + ":".join(f"{part:02x}" for part in socket.inet_aton(address))


def _routes(lines: Iterable[str]) -> Iterator[tuple[Subnet, str]]:
    for line in lines:
        link, destination, _, _, _, _, _, mask, *_ = line.split()
        if int(mask, 16):
            yield Subnet((_dotted(destination), _dotted(mask))), link


def _dotted(hexadecimal: str) -> str:
    # The kernel prints the four bytes as one number of this processor's byte order.
    return socket.inet_ntoa(struct.pack("=I", int(hexadecimal, 16)))

"""Bridges on the host, and what they know of their ports. Chapter 13.

A bridge is a link with an address of its own: the gateway of everybody behind it. It is
made for the first container and goes after the last.

    pin     a container's MAC address belongs to its port, whoever else claims it
    know    its IP address belongs to that MAC address

With both, what the host sends to a container (a published port's packets too) reaches
that container only, even when a neighbour with all capabilities answers first.

Reading order: bring_up, plug_in_again, know, pin, forget, take_down, set_rules.
Left out: ARP between neighbours of one network, where one may pretend to be another, as
with Docker; spanning trees.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from labkit import state
from labkit.errors import HostError, LabError, StateError
from labkit.linux.syscalls import Linux
from labkit.network import firewall, nft, subnets
from labkit.network.leases import Endpoint, Lease
from labkit.network.networks import Network
from labkit.network.subnets import Subnet

# linux/neighbour.h
_MASTER, _STICKY = 0x04, 0x40
_PERMANENT, _NO_ARP = 0x80, 0x40
_LONGEST_ALIAS = 200  # linux/if.h, IFALIASZ: 256 bytes


def bring_up(network: Network) -> bool:
    """Make a network's bridge, or mend one that lost its address or was switched off.

    Returns: True when it was made: it wasn't there.
    Raises: StateError when the host has got another route to its subnet meanwhile;
        NotPermitted; NotSupported when Linux lacks the module bridge.
    """
    routes = subnets.taken()
    # The route is there while the bridge is up and has its address: nothing to mend.
    if (Subnet(network.subnet), network.bridge) in routes:
        return False
    if is_there(network):
        _configure(network)
        return False
    for subnet, link in routes:
        if subnet.overlaps(Subnet(network.subnet)):
            raise StateError(
                f"network {network.name!r}: {network.subnet} is in use by now",
                f"remove it and create it again: Network.of({network.name!r}).remove()",
                meaning=f"this host has a route to {subnet} over {link}",
            )
    # Its own MAC address from the start: else it takes the lowest of its ports', and
    # changes it while others remember the old one.
    mac = subnets.mac_of(network.gateway)
    Linux().rtnetlink("link add", ifname=network.bridge, kind="bridge", address=mac)
    _configure(network)
    return True


def plug_in_again(network: Network, running: Iterable[Lease]) -> None:
    """Plug containers into a bridge that was made anew: somebody had removed it."""
    places = (place for lease in running for place in lease.endpoints)
    for place in (place for place in places if place.network == network.name):
        # ENODEV: a container that is just ending.
        with contextlib.suppress(LabError, OSError):
            Linux().rtnetlink("link set", link=place.near, master=network.bridge)
            know(place)
            pin(place)


def know(place: Endpoint) -> None:
    """Write the container's addresses into the host's table of neighbours."""
    Linux().rtnetlink(
        "neigh replace",
        link=Network.of(place.network).bridge,
        dst=place.address,
        lladdr=place.mac,
        state=_PERMANENT,
    )


def pin(place: Endpoint) -> None:
    """Write its MAC address into the bridge's table, where it can't be moved."""
    Linux().rtnetlink(
        "fdb replace",
        link=place.near,
        lladdr=place.mac,
        flags=_MASTER | _STICKY,
        state=_NO_ARP,
    )


def forget(place: Endpoint) -> None:
    """Remove the container from the host's table; its port goes with its namespace."""
    # ENOENT, ENODEV: the bridge has gone, and its neighbours with it.
    with contextlib.suppress(LabError, OSError):
        bridge = Network.of(place.network).bridge
        Linux().rtnetlink("neigh del", link=bridge, dst=place.address)


def take_down(network: Network) -> None:
    """Remove a network's bridge; that it isn't there is no error."""
    if is_there(network):
        Linux().rtnetlink("link del", link=network.bridge)


def set_rules(text: str) -> None:
    """Replace the host's rules; without nft only a host that passes nothing on will do.

    Raises: HostError when the host would pass packets on between networks, and nothing
        could keep them apart.
    """
    try:
        firewall.apply(text)
    except HostError:
        if nft.passes_on():
            raise


def is_there(network: Network) -> bool:
    """Say whether the bridge's link exists."""
    return network.bridge in {name for _, name in socket.if_nameindex()}


def _configure(network: Network) -> None:
    linux = Linux()
    linux.rtnetlink(
        "addr replace",
        link=network.bridge,
        address=network.gateway,
        prefixlen=network.prefix_length,
    )
    # Whose it is: the name has a hash of it only, and who sweeps wants to know.
    alias = state.location()[:_LONGEST_ALIAS]
    linux.rtnetlink("link set", link=network.bridge, state="up", ifalias=alias)

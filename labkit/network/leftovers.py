"""What a kill -9 left of the networks: for `labkit sweep`. Chapter 13.

While the network's own process runs it does this itself; so there is something to find
only when it was killed, too. In this order: a lease is what keeps the others.

Reading order: dead_leases, lost_links, lost_rules.
"""

from __future__ import annotations

import os
import socket

from labkit.errors import LabError
from labkit.host.places import VARIABLE
from labkit.linux.syscalls import Linux
from labkit.network import client, firewall
from labkit.network.leases import Lease, leases
from labkit.network.networks import PREFIX, Network, tag


def dead_leases() -> tuple[Lease, ...]:
    """Return the leases whose owner has ended, unless a process looks after them."""
    if client.answers():
        return ()
    return tuple(lease for lease in leases() if not lease.alive)


def lost_links() -> tuple[str, ...]:
    """Return the names of the lab's links that no living container is connected to.

    Where LABKIT_STATE is set, those with another state's tag may be alive.
    """
    if client.answers():
        return ()
    living = [lease for lease in leases() if lease.alive]
    used = {place.near for lease in living for place in lease.endpoints}
    on_them = {place.network for lease in living for place in lease.endpoints}
    used |= {network.bridge for network in Network.all() if network.name in on_them}
    links = [name for _, name in socket.if_nameindex()]
    return tuple(name for name in links if _is_ours(name) and name not in used)


def lost_rules() -> str:
    """Return the name of the lab's nftables table when nobody needs it; else ""."""
    if client.answers() or any(lease.alive for lease in leases()):
        return ""
    return firewall.table_name() if firewall.listed() else ""


def remove_link(name: str) -> None:
    """Remove a link; that it is gone already is no error.

    Raises: NotPermitted without CAP_NET_ADMIN.
    """
    try:
        Linux().rtnetlink("link del", link=name)
    except LabError:
        if name in {there for _, there in socket.if_nameindex()}:
            raise


def _is_ours(name: str) -> bool:
    own = f"{PREFIX}-{tag()}-"
    if VARIABLE in os.environ:
        return name.startswith(own)
    others = name.startswith(f"{PREFIX}-") and not (tag() and name.startswith(own))
    return name.startswith(PREFIX) and not others

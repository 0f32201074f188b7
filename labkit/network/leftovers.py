"""What a kill -9 left of the networks: for `labkit sweep`. Chapter 13.

While the network's own process runs it does this itself; so there is something to find
only when it was killed, too. In this order: a lease is what keeps the others.

What another state directory made is for it to sweep, with its LABKIT_STATE. Nobody
could, when that directory was removed: so what it left is found here as well, when all
of this is so:

    the bridge's alias names a directory that isn't there
    nothing is plugged into the bridge
    no network process of that state runs

Reading order: dead_leases, lost_links, lost_tables.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import LabError
from labkit.host.places import state_location
from labkit.host.probing import is_root
from labkit.linux.link_list import ListedLink, links
from labkit.linux.syscalls import Linux
from labkit.network import client, firewall
from labkit.network.leases import Lease, leases
from labkit.network.networks import PREFIX, Network, tag

# labkit0 is the usual state's, labkit-1a2b-0 another one's. A cable's end has eight
# digits, and no tag: it is whose bridge it is plugged into.
_BRIDGE = re.compile(rf"{PREFIX}(?:-(?P<tag>[0-9a-f]{{4}})-)?[0-9]{{1,7}}")
GONE = "of a state directory that is gone"


def dead_leases() -> tuple[Lease, ...]:
    """Return the leases whose owner has ended, unless a process looks after them."""
    if client.answers():
        return ()
    return tuple(lease for lease in leases() if not lease.alive)


def lost_links() -> Iterator[tuple[str, str]]:
    """Yield the names of links that nobody is connected to, and what is to say of each.

    They are this state's, or of one that is gone.
    """
    there = links()
    yield from ((name, "") for name in _own_lost_links(there))
    yield from ((name, GONE) for name in _orphans(there))


def lost_tables() -> Iterator[tuple[str, str]]:
    """Yield the names of nftables tables that nobody needs, and what is to say of each.

    Another state's is one, when there is none of the bridges that its rules are about.
    """
    own = firewall.table_name()
    for name in firewall.tables():
        if name == own and not client.answers() and not any(_living()):
            yield name, ""
        if name not in (own, PREFIX, *_tables_in_use()):
            yield name, "its bridges are gone"


def remove_link(name: str) -> None:
    """Remove a link; that it is gone already is no error.

    Raises: NotPermitted without CAP_NET_ADMIN.
    """
    try:
        Linux().rtnetlink("link del", link=name)
    except LabError:
        if name in {there for _, there in socket.if_nameindex()}:
            raise


def _own_lost_links(there: tuple[ListedLink, ...]) -> Iterator[str]:
    if client.answers():
        return
    places = [place for lease in _living() for place in lease.endpoints]
    used = {place.near for place in places}
    on_them = {place.network for place in places}
    used |= {network.bridge for network in Network.all() if network.name in on_them}
    for link in there:
        is_ours = tag() in (_tag_of(link.name), _tag_of(link.master))
        if is_ours and link.name.startswith(PREFIX) and link.name not in used:
            yield link.name


def _orphans(there: tuple[ListedLink, ...]) -> Iterator[str]:
    if not is_root():
        return  # whose processes run can't be seen
    living = _tags_of_processes()
    in_use = {link.master for link in there}
    for link in there:
        whose = _tag_of(link.name)
        is_lost = link.alias.startswith("/") and not os.path.lexists(link.alias)
        if whose not in (None, tag(), *living) and is_lost and link.name not in in_use:
            yield link.name


def _living() -> list[Lease]:
    return [lease for lease in leases() if lease.alive]


def _tables_in_use() -> set[str]:
    there = links()
    lost = set(_orphans(there))
    tags = {_tag_of(link.name) for link in there if link.name not in lost}
    return {f"{PREFIX}_{one}" for one in tags | _tags_of_processes()}


def _tag_of(link: str) -> str | None:
    found = _BRIDGE.fullmatch(link)
    return None if found is None else found["tag"] or ""


def _tags_of_processes() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() == client.COMM:
                rows = (process / "environ").read_bytes().split(b"\0")
                environ = dict(os.fsdecode(row).partition("=")[::2] for row in rows)
                found.add(tag(state_location(environ, root_user=True)))
        except OSError:
            continue  # ENOENT, ESRCH: it has ended just now
    return found

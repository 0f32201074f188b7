"""What the host's kernel does with a container's packets: nftables rules. Chapter 13.

    out      a container's address means nothing on the host's network: what leaves gets
             the host's address (masquerade), and the answer gets the container's again
    in       what arrives for a published port gets the container's address (dnat)
    between  networks are apart: what isn't an answer or published is dropped

One table with the lab's name, replaced as a whole: Linux has the old rules or the new
ones, never half of them. Whether the host passes packets on at all is its owner's
choice (net.ipv4.ip_forward, and other rules): the lab reads it and never changes it.

Reading order: rules, apply, listed, tables. What else is on the host: nft.py.
Left out: IPv6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from labkit.errors import HostError
from labkit.network import nft
from labkit.network.leases import Endpoint, Lease
from labkit.network.networks import PREFIX, Network, tag
from labkit.network.ports import Port

_TABLE = re.compile(rf"{PREFIX}(_[0-9a-f]{{4}})?")


def table_name() -> str:
    """Return the name of the lab's table; each state directory has one of its own."""
    return f"{PREFIX}_{tag()}" if tag() else PREFIX


def rules(networks: Iterable[Network], running: Iterable[Lease]) -> str:
    """Return the whole table in nft's language, for these networks and containers.

    Returns: "" when there is no network: no table either.
    """
    bridges = {network.name: network for network in networks}
    published = tuple(_published(running))
    if not bridges:
        return ""
    chains = (
        ("prerouting", "nat", "dstnat", _way_in(bridges, published)),
        ("postrouting", "nat", "srcnat", _way_out(bridges.values())),
        ("forward", "filter", "filter", _between(bridges.values())),
    )
    body = "".join(_chain(*chain) for chain in chains)
    return f"table ip {table_name()} {{\n{body}}}\n"


def apply(text: str) -> None:
    """Replace the lab's table by another, in one transaction; "" removes it.

    Raises: HostError when nft is missing, or the kernel lacks what a rule asks for.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: nft(8), ATOMIC RULESET REPLACEMENT in its wiki.
    """
    nft.run("-f", "-", text=f"{_without(table_name())}{text}")


def remove(table: str) -> None:
    """Remove a table of the lab's, unless it is gone."""
    nft.run("-f", "-", text=_without(table))


def tables() -> tuple[str, ...]:
    """Return the names of the lab's tables on this host, of all states."""
    if not nft.program():
        return ()
    try:
        rows = nft.run("list", "tables", "ip").splitlines()
    except HostError:
        return ()  # an ordinary user may not ask
    names = (row.rpartition(" ")[2] for row in rows)
    return tuple(name for name in names if _TABLE.fullmatch(name))


def _without(table: str) -> str:
    # Made before it is removed, because removing what isn't there would be an error.
    return f"table ip {table}\ndelete table ip {table}\n"


def listed() -> str:
    """Return the lab's table as Linux has it; "" when there is none."""
    if not nft.program():
        return ""
    try:
        return nft.run("list", "table", "ip", table_name())
    except HostError:
        return ""  # no such table


def _published(running: Iterable[Lease]) -> Iterator[tuple[Endpoint, Port]]:
    for lease in running:
        for port in lease.ports:
            if ":" not in port.address and not port.address.startswith("127."):
                yield lease.endpoints[0], port


def _way_in(
    bridges: Mapping[str, Network], published: Iterable[tuple[Endpoint, Port]]
) -> Iterator[str]:
    for place, port in published:
        # Not for its own neighbours: the bridge itself would translate (br_netfilter),
        # and never sends a packet back to the port it came from. The relay answers.
        others = f'iifname != "{bridges[place.network].bridge}"'
        where = f"ip daddr {port.address}" if port.address else "fib daddr type local"
        target = f"{place.address}:{port.inside}"
        asked = f"{port.protocol} dport {port.number}"
        yield f"{others} {where} {asked} dnat to {target}"


def _way_out(networks: Iterable[Network]) -> Iterator[str]:
    for network in networks:
        if not network.internal:
            out = f'oifname != "{network.bridge}"'
            yield f"ip saddr {network.subnet} {out} masquerade"


def _between(networks: Iterable[Network]) -> Iterator[str]:
    yield "ct state established,related accept"
    yield "ct status dnat accept"
    for network in networks:
        bridge = network.bridge
        yield f'oifname "{bridge}" iifname != "{bridge}" drop'
        if network.internal:
            yield f'iifname "{bridge}" oifname != "{bridge}" drop'


def _chain(name: str, kind: str, priority: str, lines: Iterable[str]) -> str:
    head = f"type {kind} hook {name} priority {priority}; policy accept;"
    body = "".join(f"\t\t{line}\n" for line in (head, *lines))
    return f"\tchain {name} {{\n{body}\t}}\n"

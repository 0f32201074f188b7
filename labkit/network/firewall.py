"""What the host's kernel does with a container's packets: nftables rules. Chapter 13.

    out      a container's address means nothing on the host's network: what leaves gets
             the host's address (masquerade), and the answer gets the container's again
    in       what arrives for a published port gets the container's address (dnat)
    between  networks are apart: what isn't an answer or published is dropped

One table with the lab's name, replaced as a whole: Linux has the old rules or the new
ones, never half of them. Whether the host passes packets on at all is its owner's
choice (net.ipv4.ip_forward, and other rules): the lab reads it and never changes it.

Reading order: rules, apply, obstacle.
Left out: iptables' rules of the old kind, which nft doesn't list; IPv6.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from labkit.errors import HostError
from labkit.network.leases import Endpoint, Lease
from labkit.network.networks import PREFIX, Network, tag
from labkit.network.ports import Port

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# A user's PATH often lacks where Debian puts the tools for root.
_SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def table_name() -> str:
    """Return the name of the lab's table; each state directory has one of its own."""
    return f"{PREFIX}_{tag()}" if tag() else PREFIX


def rules(networks: Iterable[Network], running: Iterable[Lease]) -> str:
    """Return the whole table in nft's language, for these networks and containers.

    Returns: "" when there is no network: no table either.
    """
    bridges, published = tuple(networks), tuple(_published(running))
    if not bridges:
        return ""
    chains = (
        ("prerouting", "nat", "dstnat", map(_translate, published)),
        ("postrouting", "nat", "srcnat", _way_out(bridges)),
        ("forward", "filter", "filter", _between(bridges)),
    )
    body = "".join(_chain(*chain) for chain in chains)
    return f"table ip {table_name()} {{\n{body}}}\n"


def apply(text: str) -> None:
    """Replace the lab's table by another, in one transaction; "" removes it.

    Raises: HostError when nft is missing, or the kernel lacks what a rule asks for.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: nft(8), ATOMIC RULESET REPLACEMENT in its wiki.
    """
    # Made before it is removed, because removing what isn't there would be an error.
    name = table_name()
    _nft("-f", "-", text=f"table ip {name}\ndelete table ip {name}\n{text}")


def listed() -> str:
    """Return the lab's table as Linux has it; "" when there is none."""
    name = table_name()
    if shutil.which("nft", path=_SBIN) is None:
        return ""
    found = subprocess.run(
        ["nft", "list", "table", "ip", name],
        env={"PATH": _SBIN},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout


def obstacle() -> str:
    """Say what keeps packets from passing through this host; "" when nothing does.

    Then there is no way out of a network, and the host's proxies alone answer on
    published ports.
    """
    if not passes_on():
        return "this host passes no packets on (net.ipv4.ip_forward is 0)"
    try:
        dropping = _dropping_chains()
    except HostError as problem:
        return problem.message
    if dropping:
        return f"this host's firewall drops what it would pass on ({dropping[0]})"
    return ""


def passes_on() -> bool:
    """Say whether this host passes packets on from one link to another.

    Kernel: Documentation/networking/ip-sysctl.rst, ip_forward.
    """
    return _FORWARD.read_text().strip() != "0"


def _dropping_chains() -> list[str]:
    found = json.loads(_nft("-j", "list", "chains"))["nftables"]
    chains = [row["chain"] for row in found if "chain" in row]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "inet")
    ]


def _nft(*words: str, text: str = "") -> str:
    if shutil.which("nft", path=_SBIN) is None:
        raise HostError(
            "nft: this program isn't here",
            "apt install nftables",
            "nft(8)",
            meaning="networks need it on a host that passes packets on",
        )
    # fmt: off
    ended = subprocess.run(
        ["nft", *words],
        env={"PATH": _SBIN}, input=text, capture_output=True, text=True, check=False,
    )
    # fmt: on
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise HostError(
            f"nft {words[0]}: {said[0]}",
            "modprobe nf_tables nft_nat nft_masq nft_fib_ipv4 as root; `labkit doctor`",
            "nft(8)",
            meaning="the kernel or nft lacks something that the lab's rules ask for",
        )
    return ended.stdout


def _published(running: Iterable[Lease]) -> Iterator[tuple[Endpoint, Port]]:
    for lease in running:
        for port in lease.ports:
            if ":" not in port.address and not port.address.startswith("127."):
                yield lease.endpoints[0], port


def _translate(row: tuple[Endpoint, Port]) -> str:
    place, port = row
    where = f"ip daddr {port.address}" if port.address else "fib daddr type local"
    target = f"{place.address}:{port.inside}"
    return f"{where} {port.protocol} dport {port.number} dnat to {target}"


def _way_out(networks: tuple[Network, ...]) -> Iterator[str]:
    for network in networks:
        subnet, bridge = network.subnet, network.bridge
        if not network.internal:
            yield f'ip saddr {subnet} oifname != "{bridge}" masquerade'
        # One that asks for its own network's published port by the host's address: the
        # answer has to come back the same way, not directly.
        yield f"ip saddr {subnet} ip daddr {subnet} ct status dnat masquerade"


def _between(networks: tuple[Network, ...]) -> Iterator[str]:
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

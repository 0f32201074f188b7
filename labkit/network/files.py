"""The three files that a network needs inside, as Docker writes them. Chapter 13.

    /etc/hosts         its own name, and those that --add-host gave
    /etc/resolv.conf   whom to ask for all other names
    /etc/hostname

They lie on the host and are bound over the image's: so they are right although the
image was made elsewhere, and are no change of the container's.

Spec: hosts(5), resolv.conf(5), hostname(5).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path

from labkit.errors import DocumentError
from labkit.network.leases import Lease
from labkit.network.names import ADDRESS

_LOCAL = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
GATEWAY = "host-gateway"
"""In --add-host: the host, as the container reaches it."""


def hosts(lease: Lease, hostname: str, more: Iterable[tuple[str, str]] = ()) -> str:
    """Return /etc/hosts: fixed names, those given with --add-host, its own."""
    own = [(place.address, hostname) for place in lease.endpoints]
    rows = [*_LOCAL, *((address, name) for name, address in more), *own]
    return "".join(f"{address}\t{names}\n" for address, names in rows)


def resolv_conf(host_file: Path = Path("/etc/resolv.conf")) -> str:
    """Return /etc/resolv.conf: the lab's own name server, the host's search domains."""
    lines = host_file.read_text().splitlines() if host_file.exists() else []
    kept = [line for line in lines if line.split()[:1] == ["search"]]
    return "\n".join((f"nameserver {ADDRESS}", *kept, "options ndots:0", ""))


def read_host(text: str, gateway: str) -> tuple[str, str]:
    """Read what stands behind --add-host: "name:address".

    Args: text; gateway [what "host-gateway" stands for].
    Returns: name and address.
    Raises: DocumentError.
    """
    name, _, address = text.partition(":")
    address = gateway if address == GATEWAY else address.strip("[]")
    try:
        if not name or name.split() != [name]:
            raise ValueError("the name is missing")
        return name, str(ipaddress.ip_address(address))
    except ValueError as problem:
        raise DocumentError(
            f"host {text!r}: can't be understood",
            f'"database:10.0.0.7", or "database:{GATEWAY}"',
            meaning=str(problem),
        ) from None

"""Published ports: what -p says, and who has a port already. Chapter 13.

    parse("8080:80")            the host's port 8080 leads to the container's 80
    parse("127.0.0.1:8080:80")  the same, on the host's loopback only
    parse("80")                 a free port of the host's leads to 80
    parse("53:53/udp")          udp instead of tcp
    parse("8000-8002:80-82")    a range: three ports, in order
    parse("8000-8009:80")       the first of ten that is free

-P is one parse("80/tcp") for each port that the image exposes.

Spec: docker run, --publish.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import DocumentError

PROTOCOLS = ("tcp", "udp")
# ip_local_port_range(7 ip): where Linux takes free ports from, and Docker as well.
EPHEMERAL = range(32768, 61000)
_LISTENING = {"tcp": "0A", "udp": "07"}  # net/tcp_states.h: TCP_LISTEN, TCP_CLOSE
_MAPPING = re.compile(
    r"(?:(?P<ip>\[[^]]*\]|[^:]*):)??(?:(?P<host>[^:]*):)?(?P<inside>[^:/]+)"
    r"(?:/(?P<protocol>\w+))?"
)


@dataclass(frozen=True, slots=True)
class Port:
    """One port of the host's that leads to one of a container's."""

    address: str  # of the host's: "" is all of them
    number: int  # of the host's
    inside: int
    protocol: str = "tcp"
    last: int = 0  # any port from `number` up to this one will do; 0 is no other

    @property
    def choices(self) -> range:
        """The host's ports that will do, in the order in which they are tried."""
        return range(self.number, max(self.number, self.last) + 1)

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown or '0.0.0.0'}:{self.number}->{self.inside}/{self.protocol}"


def parse(text: str) -> tuple[Port, ...]:
    """Read what stands behind -p; several ports when it names a range.

    Raises: DocumentError that says which part can't be understood.
    """
    found = _MAPPING.fullmatch(text)
    if found is None:
        raise _unclear(text, "it isn't [address:][port:]port[/tcp|/udp]")
    protocol = (found["protocol"] or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise _unclear(text, f"{protocol!r} is neither tcp nor udp")
    address = _address(text, (found["ip"] or "").strip("[]"))
    inside = _range(text, found["inside"])
    hosts = _range(text, found["host"]) if found["host"] else EPHEMERAL
    if len(inside) == 1 or hosts is EPHEMERAL:
        last = hosts[-1] if len(hosts) > 1 else 0
        return tuple(Port(address, hosts[0], port, protocol, last) for port in inside)
    if len(hosts) != len(inside):
        raise _unclear(text, "the two ranges aren't equally long")
    pairs = zip(hosts, inside, strict=True)
    return tuple(Port(address, host, port, protocol) for host, port in pairs)


def who_has(port: int, protocol: str) -> str:
    """Return the name of the program that listens on a port of this host's; or "".

    Needs: CAP_SYS_PTRACE to see another user's.
    Kernel: proc(5), /proc/net/tcp.
    """
    sockets = {f"socket:[{inode}]" for inode in _listening(port, protocol)}
    for process in Path("/proc").glob("[0-9]*"):
        if sockets & set(_open_files(process)):
            return (process / "comm").read_text().strip()
    return ""


def _listening(port: int, protocol: str) -> Iterator[str]:
    for name in (protocol, f"{protocol}6"):
        path = Path("/proc/net", name)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            _, local, _, state, *rest = line.split()
            wanted = f":{port:04X}"
            if local.endswith(wanted) and state == _LISTENING[protocol]:
                yield rest[5]


def _open_files(process: Path) -> Iterator[str]:
    # ENOENT, EACCES: it has ended, closed one just now, or is another user's.
    with suppress(OSError):
        for fd in os.listdir(process / "fd"):
            with suppress(OSError):
                yield os.readlink(process / "fd" / fd)


def _address(text: str, address: str) -> str:
    try:
        return str(ipaddress.ip_address(address)) if address else ""
    except ValueError:
        raise _unclear(text, f"{address!r} is no address of this host's") from None


def _range(text: str, ports: str) -> range:
    first, _, last = ports.partition("-")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        raise _unclear(text, f"{ports!r} is no port") from None
    if not found or not 0 < found[0] <= found[-1] < 65536:
        raise _unclear(text, f"{ports!r}: ports go from 1 to 65535, in this order")
    return found


def _unclear(text: str, reason: str) -> DocumentError:
    return DocumentError(
        f"published port {text!r}: can't be understood",
        '"8080:80", "127.0.0.1:8080:80", "80", "53:53/udp" or "8000-8002:80-82"',
        meaning=reason,
    )

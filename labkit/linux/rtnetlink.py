"""rtnetlink(7): how Linux is asked to change links, addresses and routes.

A request is a noun and a verb, as ip(8) has them, and attributes. As a message it is

    header   its length, its type (noun and verb), flags, two numbers for who has many
    fields   a struct of the noun's own: which link, how long a prefix ...
    attrs    length, type, value; filled up to four bytes; a value may be attrs again

and the answer is an errno. Encoded here, and not by pyroute2, which a test compares it
with: that library takes 15 MB and 100 ms, and every process that the fork server makes
would carry it.

Kernel: rtnetlink(7), netlink(7).
"""

from __future__ import annotations

import _socket  # socket without its many names: a container's start waits for it
import errno
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any

Attributes = Mapping[str, Any]

# noun: the type of a message that makes one, and of the message that removes one.
_NOUNS = {"link": (16, 17), "addr": (20, 21), "route": (24, 25), "neigh": (28, 29)}
_FDB = "fdb"  # bridge(8)'s word: a neighbour of the family bridge
_AF_BRIDGE = 7
# linux/netlink.h
_NETLINK_ROUTE, _ERROR = 0, 2
REQUEST, _ACK = 0x1, 0x4
_VERBS = {"add": 0x400 | 0x200, "replace": 0x400 | 0x100, "set": 0, "del": 0}
_LARGEST = 65536
HEADER, ATTR = struct.Struct("=IHHII"), struct.Struct("=HH")
# struct ifinfomsg, ifaddrmsg, rtmsg, ndmsg
LINK, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBi")
_ROUTE, _NEIGHBOUR = struct.Struct("=BBBBBBBBI"), struct.Struct("=BxxxiHBB")
_UP, _PERMANENT = 1, 0x80  # IFF_UP, NUD_PERMANENT
_MAIN, _STATIC, _UNICAST = 254, 4, 1  # a route's table, author and kind
# linux/if_link.h, veth.h
_LINKINFO, _KIND, _DATA, _PEER = 18, 1, 2, 1
_OF_LINK = {"address": 1, "ifname": 3, "master": 10, "net_ns_pid": 19}
_OF_LINK |= {"ifalias": 20, "net_ns_fd": 28}
# As in a message: attributes that name a process or a file are told by their role.
_ROLES = {"net_ns_pid": "INSIDE", "net_ns_fd": "NAMESPACE"}


def ask(request: str, attributes: Attributes) -> None:
    """Send one request in this process's network namespace, and wait for the answer.

    Args: request ["link add", "addr add", "route add", ...]; attributes [ip(8)'s words;
        `link`, `master` and `oif` are names of links, not numbers].
    Raises: OSError with the errno that Linux answered; EINVAL for a word that isn't
        known here.
    """
    data = message(request, attributes)
    rtnetlink = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _NETLINK_ROUTE)
    try:
        rtnetlink.send(data)
        answer = rtnetlink.recv(_LARGEST)
    finally:
        rtnetlink.close()
    # struct nlmsghdr, and behind it struct nlmsgerr: the errno, negative.
    kind, code = struct.unpack_from("=xxxxH10xi", answer)
    if kind == _ERROR and code:
        raise OSError(-code, os.strerror(-code))


def message(request: str, attributes: Attributes) -> bytes:
    """Return a request as Linux reads it.

    Raises: ENODEV for a link that isn't there; EINVAL.
    """
    noun, verb = request.split()
    given = dict(attributes)
    body = _BODIES[noun](given)
    if given:
        raise OSError(errno.EINVAL, f"{request}: no such attribute: {', '.join(given)}")
    make, remove = _NOUNS["neigh" if noun == _FDB else noun]
    kind, flags = remove if verb == "del" else make, REQUEST | _ACK | _VERBS[verb]
    return HEADER.pack(HEADER.size + len(body), kind, flags, 0, 0) + body


def shown(attributes: Attributes) -> str:
    """Write attributes as one would read them: "ifname=eth0, kind=veth"."""
    return ", ".join(f"{name}={_said(name, v)}" for name, v in attributes.items())


def _link(given: dict[str, Any]) -> bytes:
    index, state = _index(given.pop("link", None)), given.pop("state", None)
    kind, peer = given.pop("kind", None), given.pop("peer", None)
    up = _UP if state == "up" else 0
    parts = [LINK.pack(0, 0, index, up, _UP if state else 0)]
    parts += [_attr(_OF_LINK[name], v) for name, v in _known(given, _OF_LINK)]
    if kind:
        of_peer = [_attr(_DATA, _attr(_PEER, _link(dict(peer))))] if peer else []
        parts.append(_attr(_LINKINFO, b"".join([_attr(_KIND, kind), *of_peer])))
    return b"".join(parts)


def _address(given: dict[str, Any]) -> bytes:
    family, packed = _packed(given.pop("address"))
    fields = family, given.pop("prefixlen"), 0, 0, _index(given.pop("link"))
    # That of whoever is at the other end of the link, and its own: the same.
    return _ADDRESS.pack(*fields) + _attr(1, packed) + _attr(2, packed)


def _route(given: dict[str, Any]) -> bytes:
    address, _, length = given.pop("dst", "default").partition("/")
    gateway, oif = given.pop("gateway", None), given.pop("oif", None)
    family = _packed(gateway or address)[0]
    parts = []
    if address != "default":
        packed = _packed(address)[1]
        length = length or str(8 * len(packed))
        parts.append(_attr(1, packed))
    parts += [_attr(5, _packed(gateway)[1])] if gateway else []
    parts += [_attr(4, _index(oif))] if oif else []
    kind = _MAIN, _STATIC, 0, _UNICAST, 0
    return _ROUTE.pack(family, int(length or 0), 0, 0, *kind) + b"".join(parts)


def _neighbour(given: dict[str, Any]) -> bytes:
    family, packed = _packed(given.pop("dst"))
    return _neighbour_of(family, given) + _attr(1, packed) + _hardware(given)


def _forwarding(given: dict[str, Any]) -> bytes:
    return _neighbour_of(_AF_BRIDGE, given) + _hardware(given)


def _neighbour_of(family: int, given: dict[str, Any]) -> bytes:
    state, flags = given.pop("state", _PERMANENT), given.pop("flags", 0)
    return _NEIGHBOUR.pack(family, _index(given.pop("link")), state, flags, 0)


def _hardware(given: dict[str, Any]) -> bytes:
    return _attr(2, _mac(given.pop("lladdr"))) if "lladdr" in given else b""


_BODIES = {
    "link": _link,
    "addr": _address,
    "route": _route,
    "neigh": _neighbour,
    _FDB: _forwarding,
}


def _known(given: dict[str, Any], kinds: Mapping[str, int]) -> Iterator[Any]:
    for name in [name for name in given if name in kinds]:
        value = given.pop(name)
        if name == "address":
            value = _mac(value)
        yield name, _index(value) if name == "master" else value


def _attr(kind: int, value: bytes | str | int) -> bytes:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    length = ATTR.size + len(value)
    return ATTR.pack(length, kind) + value + bytes(-length % 4)


def _index(link: str | None) -> int:
    try:
        return _socket.if_nametoindex(link) if link else 0
    except OSError:  # it has no errno of its own
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _packed(address: str) -> tuple[int, bytes]:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        return family, _socket.inet_pton(family, address)
    except OSError:  # it has no errno of its own
        raise OSError(errno.EINVAL, f"no address: {address}") from None


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({shown(value)})"
    return _ROLES.get(name, str(value))

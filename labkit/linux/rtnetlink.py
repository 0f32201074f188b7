"""rtnetlink(7): how Linux is asked to change links, addresses and routes.

A request is a noun and a verb, as ip(8) has them, and attributes. pyroute2 makes the
message of them. It is sent and answered over a plain socket here, because pyroute2's
own sockets bring an event loop: 5 ms in a process just forked, and none may be begun
where a notebook's is running.

Kernel: rtnetlink(7), netlink(7).
"""

from __future__ import annotations

import errno
import importlib
import os
import struct
from collections.abc import Mapping
from typing import Any

# noun: pyroute2's module and class; the message that makes one, the one that removes.
_NOUNS = {
    "link": ("ifinfmsg", "ifinfmsg", 16, 17),
    "addr": ("ifaddrmsg", "ifaddrmsg", 20, 21),
    "route": ("rtmsg", "rtmsg", 24, 25),
    "neigh": ("ndmsg", "ndmsg", 28, 29),
}
_FDB = "fdb"  # bridge(8)'s word: a neighbour of the family bridge
_AF_BRIDGE = 7
# linux/netlink.h
_REQUEST, _ACK = 0x1, 0x4
_FLAGS = {"add": 0x400 | 0x200, "replace": 0x400 | 0x100, "set": 0, "del": 0}
_ERROR = 2  # NLMSG_ERROR, also of an answer without an error
_LARGEST = 65536
_LINKS = {"link": "index", "master": "master", "oif": "oif"}
# As in a message: attributes that name a process or a file are told by their role.
_ROLES = {"net_ns_pid": "INSIDE", "net_ns_fd": "NAMESPACE"}


def load() -> None:
    """Import what a request needs, in a process that will fork others who make them."""
    for noun in _NOUNS:
        _message_class(noun)
    importlib.import_module("pyroute2.iproute.linux")


def ask(request: str, attributes: Mapping[str, Any]) -> None:
    """Send one request in this process's network namespace, and wait for the answer.

    Args: request ["link add", "addr add", "route add", ...]; attributes [pyroute2's
        names; `link`, `master` and `oif` are names of links, not numbers].
    Raises: OSError with the errno that Linux answered.
    """
    import socket

    noun, verb = request.split()
    message = _message(noun, verb, attributes)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as rtnetlink:
        rtnetlink.send(message)
        answer = rtnetlink.recv(_LARGEST)
    # struct nlmsghdr, and behind it struct nlmsgerr: the errno, negative.
    kind, code = struct.unpack_from("=xxxxH10xi", answer)
    if kind == _ERROR and code:
        raise OSError(-code, os.strerror(-code))


def shown(attributes: Mapping[str, Any]) -> str:
    """Write attributes as one would read them: "ifname=eth0, kind=veth"."""
    return ", ".join(f"{name}={_said(name, v)}" for name, v in attributes.items())


def _message(noun: str, verb: str, attributes: Mapping[str, Any]) -> bytes:
    from pyroute2.iproute.linux import get_arguments_processor

    given = {_key(noun, name): _value(name, v) for name, v in attributes.items()}
    if noun == _FDB:
        noun, given["family"] = "neigh", _AF_BRIDGE
    if noun == "route":
        given = {"proto": "static", "type": "unicast", **given}
    _, _, make, remove = _NOUNS[noun]
    message = _message_class(noun)()
    message["header"]["type"] = remove if verb == "del" else make
    message["header"]["flags"] = _REQUEST | _ACK | _FLAGS[verb]
    ready = get_arguments_processor(noun, verb, given, {"strict_check": False})
    for field, *_ in message.fields:
        message[field] = ready.get_value(field, default=0, mode="field")
    for name, value in ready.items():
        attribute = message.name2nla(name)
        if message.valid_nla(attribute) and value is not None:
            message["attrs"].append([attribute, value])
    message.encode()
    return bytes(message.data)


def _message_class(noun: str) -> Any:
    module, name, _, _ = _NOUNS[noun]
    return getattr(importlib.import_module(f"pyroute2.netlink.rtnl.{module}"), name)


def _key(noun: str, name: str) -> str:
    # A neighbour has another word for its link.
    if name == "link" and noun in (_FDB, "neigh"):
        return "ifindex"
    return _LINKS.get(name, name)


def _value(name: str, value: Any) -> Any:
    if name not in _LINKS:
        return value
    import socket

    try:
        return socket.if_nametoindex(value)
    except OSError:  # it has no errno of its own
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({shown(value)})"
    return _ROLES.get(name, str(value))

"""rtnetlink(7): how Linux is asked to change links, addresses and routes.

A request is a noun and a verb, as ip(8) has them, and attributes. The messages
themselves are pyroute2's work; it is imported when the first request is made.

Kernel: rtnetlink(7), Documentation/networking/netlink_spec.
"""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Mapping
from typing import Any

_LINKS = {"link": "index", "master": "master", "oif": "oif"}
# As in a message: attributes that name a process or a file are told by their role.
_ROLES = {"net_ns_pid": "INSIDE", "net_ns_fd": "NAMESPACE"}


def load() -> None:
    """Import what a request needs, in a process that will fork others who make them."""
    importlib.import_module("pyroute2")


def ask(request: str, attributes: Mapping[str, Any]) -> None:
    """Send one request in this process's network namespace, and wait for the answer.

    Args: request ["link add", "addr add", "route add", ...]; attributes [pyroute2's
        names; `link`, `master` and `oif` are names of links, not numbers].
    Raises: OSError with the errno that Linux answered.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    noun, verb = request.split()
    numbered = {_key(request, name): _value(name, v) for name, v in attributes.items()}
    try:
        with IPRoute() as rtnetlink:
            getattr(rtnetlink, noun)(verb, **numbered)
    except NetlinkError as refused:
        code = refused.code or errno.EINVAL
        raise OSError(code, os.strerror(code)) from None


def shown(attributes: Mapping[str, Any]) -> str:
    """Write attributes as one would read them: "ifname=eth0, kind=veth"."""
    return ", ".join(f"{name}={_said(name, v)}" for name, v in attributes.items())


def _key(request: str, name: str) -> str:
    # A bridge's table of MAC addresses and neighbours has another word for the link.
    if name == "link" and request.split()[0] in ("fdb", "neigh"):
        return "ifindex"
    return _LINKS.get(name, name)


def _value(name: str, value: Any) -> Any:
    if name not in _LINKS:
        return value
    import socket

    return socket.if_nametoindex(value)


def _said(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({shown(value)})"
    return _ROLES.get(name, str(value))

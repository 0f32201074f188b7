"""Calls about the network: rtnetlink requests, and one local socket. Chapter 13."""

from __future__ import annotations

from typing import Any

from labkit.linux.call import Caller


class Network(Caller):
    """The part of `linux` that is about networks."""

    def rtnetlink(self, request: str, **attributes: Any) -> None:
        """Change a link, an address or a route of this process's network namespace.

        It is one message over a netlink socket, and Linux's answer to it.

        Args: request [noun and verb, as in ip(8): "link add", "addr add"]; attributes
            [ifname, kind, link, master, state, address, prefixlen, gateway ...].
        Raises: EEXIST, ENODEV (no such link), ENETUNREACH (no route to the gateway),
            EOPNOTSUPP (no such kind of link), EPERM without the capability.
        Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
        Kernel: rtnetlink(7), netlink(7), veth(4).
        """
        self._call("rtnetlink", request, attributes)

    def connect(self, path: str) -> int:
        """Return a descriptor of a stream to the process that listens at a path.

        Raises: ENOENT when there is no socket, ECONNREFUSED when nobody listens.
        Needs: write permission on the socket's file.
        Kernel: socket(2), connect(2), unix(7).
        """
        return int(self._call("connect", path))

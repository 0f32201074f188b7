"""A request to the network is, byte for byte, what pyroute2 makes of it."""

from __future__ import annotations

import errno
import importlib
from typing import Any

import pytest

from labkit.linux import rtnetlink

MAC, PEER = "02:42:00:00:00:01", {"ifname": "eth0", "address": "02:42:00:00:00:02"}
REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("link add", {"ifname": "br0", "kind": "bridge", "address": MAC}),
    ("link add", {"ifname": "a", "kind": "veth", "peer": {"ifname": "b"}}),
    (
        "link add",
        {
            "ifname": "near",
            "kind": "veth",
            "master": "lo",
            "state": "up",
            "peer": {**PEER, "net_ns_pid": 7},
        },
    ),
    ("link set", {"link": "lo", "state": "up"}),
    ("link set", {"link": "lo", "state": "down"}),
    ("link set", {"link": "lo", "state": "up", "ifalias": "/var/lib/labkit"}),
    ("link set", {"link": "lo", "master": "lo"}),
    ("link set", {"link": "lo", "net_ns_pid": 7}),
    ("link set", {"link": "lo", "net_ns_fd": 7}),
    ("link del", {"link": "lo"}),
    ("addr add", {"link": "lo", "address": "10.9.0.2", "prefixlen": 24}),
    ("addr replace", {"link": "lo", "address": "10.9.0.2", "prefixlen": 24}),
    ("route add", {"dst": "default", "gateway": "10.9.0.1"}),
    ("route add", {"dst": "10.91.0.0/24", "gateway": "10.9.0.1"}),
    ("route add", {"dst": "10.91.0.1", "gateway": "10.9.0.1"}),
    ("route add", {"dst": "10.91.0.0/24", "oif": "lo"}),
    ("neigh replace", {"link": "lo", "dst": "10.9.0.2", "lladdr": MAC, "state": 128}),
    ("neigh del", {"link": "lo", "dst": "10.9.0.2"}),
    ("fdb replace", {"link": "lo", "lladdr": MAC, "flags": 66, "state": 64}),
)
WORDS = [f"{request} {' '.join(given)}" for request, given in REQUESTS]


@pytest.mark.parametrize(("request_", "given"), REQUESTS, ids=WORDS)
def test_a_request_has_the_bytes_that_pyroute2_gives_it(
    request_: str, given: dict[str, Any]
) -> None:
    assert rtnetlink.message(request_, given) == of_pyroute2(request_, given)


def test_a_word_that_is_not_known_is_refused_and_named() -> None:
    with pytest.raises(OSError, match="no such attribute: colour") as refused:
        rtnetlink.message("link set", {"link": "lo", "colour": "red"})
    assert refused.value.errno == errno.EINVAL


def test_a_link_that_is_not_there_and_no_address_have_their_errno() -> None:
    with pytest.raises(OSError) as refused:
        rtnetlink.message("link set", {"link": "nosuchlink0", "state": "up"})
    assert refused.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="no address: nowhere") as refused:
        rtnetlink.message("route add", {"gateway": "nowhere"})
    assert refused.value.errno == errno.EINVAL


MODULES = {"link": "ifinfmsg", "addr": "ifaddrmsg", "route": "rtmsg", "neigh": "ndmsg"}
NUMBERS = {"link": 16, "addr": 20, "route": 24, "neigh": 28}  # linux/rtnetlink.h
FLAGS = {"add": 0x605, "replace": 0x505, "set": 0x5, "del": 0x5}  # linux/netlink.h


def of_pyroute2(request: str, given: dict[str, Any]) -> bytes:
    """Return the message that pyroute2 makes of a request."""
    from pyroute2.iproute.linux import get_arguments_processor

    noun, verb = request.split()
    index = "ifindex" if noun in ("fdb", "neigh") else "index"
    names = {"link": index, "oif": "oif", "master": "master"}
    words = {names.get(k, k): 1 if k in names else v for k, v in given.items()}
    if noun == "fdb":
        noun, words["family"] = "neigh", 7
    if noun == "route":
        words = {"proto": "static", "type": "unicast", **words}
    home = importlib.import_module(f"pyroute2.netlink.rtnl.{MODULES[noun]}")
    message = getattr(home, MODULES[noun])()
    message["header"]["type"] = NUMBERS[noun] + (verb == "del")
    message["header"]["flags"] = FLAGS[verb]
    ready = get_arguments_processor(noun, verb, words, {"strict_check": False})
    for field, *_ in message.fields:
        message[field] = ready.get_value(field, default=0, mode="field")
    for name, value in ready.items():
        attribute = message.name2nla(name)
        if message.valid_nla(attribute) and value is not None:
            message["attrs"].append([attribute, value])
    message.encode()
    return bytes(message.data)

"""Subnets that nobody uses, addresses that nobody has."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import DocumentError, StateError
from labkit.network.subnets import (
    POOL,
    Subnet,
    free_address,
    free_subnet,
    mac_of,
    read_subnet,
    taken,
)

ROUTES = """\
Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0
vpn0 00005A0A 00000000 0001 0 0 0 00FFFFFF 0 0 0
"""


def test_the_hosts_routes_are_read_but_for_the_default(tmp_path: Path) -> None:
    path = tmp_path / "route"
    path.write_text(ROUTES)
    assert taken(path) == (
        (Subnet("192.0.2.0/24"), "eth0"),
        (Subnet("10.90.0.0/24"), "vpn0"),
    )


def test_the_first_subnet_that_nobody_uses_is_taken() -> None:
    assert str(free_subnet([Subnet("10.90.0.0/24")])) == "10.90.1.0/24"
    assert str(free_subnet([Subnet("10.90.0.0/17")])) == "10.90.128.0/24"


def test_another_state_begins_elsewhere_in_the_pool() -> None:
    assert str(free_subnet([], "00ff")) == "10.90.255.0/24"
    assert str(free_subnet([Subnet("10.90.255.0/24")], "00ff")) == "10.90.0.0/24"


def test_when_all_are_used_it_is_said() -> None:
    with pytest.raises(StateError, match="no subnet of 10.90.0.0/16 is free"):
        free_subnet([POOL])


def test_addresses_begin_behind_the_gateways_and_end() -> None:
    small = Subnet("10.9.0.0/30")
    assert free_address(small, []) == "10.9.0.2"
    with pytest.raises(StateError) as full:
        free_address(small, ["10.9.0.2"])
    assert full.value.meaning == "1 containers fit in, and they are there"


@pytest.mark.parametrize(
    "text",
    ["x", "10.0.0.1/24", "10.0.0.0/31", "10.0.0.0/32", "", "::/64", "10.0.0.0/24\n"]
    + ["0.0.0.0/0", "127.0.0.0/24", "224.0.0.0/24", "255.255.255.0/24"],
)
def test_a_subnet_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        read_subnet(text)
    assert len(str(refused.value).splitlines()) == 3


def test_an_address_always_has_the_same_mac_address() -> None:
    assert mac_of("10.90.0.2") == "02:42:0a:5a:00:02"

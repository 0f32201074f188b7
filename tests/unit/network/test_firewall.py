"""The rules, as text: nft itself reads them in tests/kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import DocumentError
from labkit.network import firewall, nft
from labkit.network.files import hosts, read_host, resolv_conf
from labkit.network.leases import Endpoint, Lease
from labkit.network.networks import Network
from labkit.network.ports import Port

LAB = Network("lab", "10.90.0.0/24", "labkit0")
INNER = Network("inner", "10.90.1.0/24", "labkit1", internal=True)
PLACE = Endpoint("lab", "10.90.0.2", "02:42:0a:5a:00:02", "labkit1a2b3c4d", "eth0")


def lease(*ports: Port) -> Lease:
    return Lease("web", (PLACE,), ports)


def test_without_a_network_there_is_no_table() -> None:
    assert firewall.rules([], [lease(Port("", 8080, 80))]) == ""


def test_a_published_port_leads_to_the_container() -> None:
    text = firewall.rules([LAB], [lease(Port("", 8080, 80))])
    wanted = 'iifname != "labkit0" fib daddr type local tcp dport 8080 dnat to'
    assert f"{wanted} 10.90.0.2:80\n" in text


def test_one_address_is_named_and_the_loopback_left_to_the_relay() -> None:
    ports = (Port("192.0.2.7", 53, 53, "udp"), Port("127.0.0.1", 8080, 80))
    text = firewall.rules([LAB], [lease(*ports), lease(Port("::1", 1, 1))])
    assert "ip daddr 192.0.2.7 udp dport 53 dnat to 10.90.0.2:53" in text
    assert text.count("dnat to") == 1


def test_what_leaves_gets_the_hosts_address_except_from_an_internal_network() -> None:
    text = firewall.rules([LAB, INNER], [])
    assert 'ip saddr 10.90.0.0/24 oifname != "labkit0" masquerade' in text
    assert "ip saddr 10.90.1.0/24" not in text
    assert 'iifname "labkit1" oifname != "labkit1" drop' in text


def test_networks_are_apart() -> None:
    text = firewall.rules([LAB, INNER], [])
    for bridge in ("labkit0", "labkit1"):
        assert f'oifname "{bridge}" iifname != "{bridge}" drop' in text


def test_each_state_has_a_table_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STATE", "/var/lib/labkit")
    assert firewall.table_name() == "labkit"
    monkeypatch.setenv("LABKIT_STATE", "/elsewhere")
    assert firewall.table_name().startswith("labkit_")


def test_a_host_that_passes_nothing_on_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ip_forward"
    monkeypatch.setattr(nft, "_FORWARD", file)
    file.write_text("0\n")
    assert nft.obstacle() == (
        "this host passes no packets on (net.ipv4.ip_forward is 0)"
    )
    file.write_text("1\n")
    monkeypatch.setattr(nft, "_SBIN", str(tmp_path))
    assert nft.obstacle() == "nft: this program isn't here"


def test_hosts_has_its_own_name_last() -> None:
    rows = hosts(lease(), "web", [("db", "10.0.0.7")]).splitlines()
    assert rows[-2:] == ["10.0.0.7\tdb", "10.90.0.2\tweb"]


def test_the_hosts_search_domains_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 192.0.2.1\nsearch lab.example\n")
    assert resolv_conf(path) == (
        "nameserver 127.0.0.11\nsearch lab.example\noptions ndots:0\n"
    )
    assert "search" not in resolv_conf(tmp_path / "none")


def test_a_host_to_add_is_read() -> None:
    assert read_host("db:10.0.0.7", "10.90.0.1") == ("db", "10.0.0.7")
    assert read_host("db:host-gateway", "10.90.0.1") == ("db", "10.90.0.1")
    assert read_host("db:[::1]", "10.90.0.1") == ("db", "::1")


@pytest.mark.parametrize("text", ["db", ":10.0.0.7", "a b:10.0.0.7", "db:x", ""])
def test_one_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match="can't be understood"):
        read_host(text, "10.90.0.1")

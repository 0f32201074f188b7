"""Containers on networks: addresses, names, ports, and that they stay apart.

What Linux knows is read from /proc and from sockets of the test's own.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit import CLONE, Container, Exec, JoinNamespaces, Plan
from labkit.errors import DocumentError, StateError
from labkit.linux import Linux
from labkit.network import Network
from labkit.network.leases import leases
from tests.kernel.playing_host import page
from tests.kernel.probed_once import container
from tests.kernel.watching import becomes_true
from tests.support.ours import ours

pytestmark = pytest.mark.usefixtures("as_root")
ECHO = """
import socket
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("", 7))
while True:
    data, sender = udp.recvfrom(100)
    udp.sendto(data, sender)
"""
SERVE = ("httpd", "-f", "-p", "80", "-h", "/")


@pytest.fixture(scope="module")
def lab() -> Iterator[Network]:
    network = Network.create("lab")
    yield network
    network.remove()


@pytest.fixture(scope="module")
def web(lab: Network) -> Iterator[Container]:
    wanted = {"aliases": ["www"], "publish": ["127.0.0.1::80"]}
    with container("web", SERVE, network="lab", **wanted) as box:
        box.start()
        yield box


@pytest.fixture(scope="module")
def asks(lab: Network, web: Container) -> Iterator[Container]:
    with container("asks", network="lab", add_host=["db:10.1.2.3"]) as box:
        box.start()
        yield box


def said(box: Container, *argv: str) -> str:
    ended = box.exec(argv, timeout_s=20)
    return (ended.stdout + ended.stderr).strip()


def address(box: Container) -> str:
    assert box.connections.attachment is not None
    return next(iter(box.connections.attachment.addresses.values()))


def published(box: Container) -> int:
    assert box.connections.attachment is not None
    return box.connections.attachment.ports[0].number


def read(box: Container, path: str) -> str:
    return Path(f"/proc/{box.pid}/root{path}").read_text()


def listens(box: Container, port: int = 80) -> bool:
    rows = Path(f"/proc/{box.pid}/net/tcp").read_text().splitlines()[1:]
    rows += Path(f"/proc/{box.pid}/net/tcp6").read_text().splitlines()[1:]
    return any(f":{port:04X} " in row and " 0A " in row for row in rows)


def test_a_neighbour_is_found_by_its_name(web: Container, asks: Container) -> None:
    assert becomes_true(lambda: listens(web))
    assert said(asks, "wget", "-q", "-O-", "http://web/etc/hostname") == "web"


def test_and_by_its_alias_and_by_name_and_network(
    web: Container, asks: Container
) -> None:
    for name in ("www", "web.lab", "WEB"):
        assert f"Address: {address(web)}" in said(asks, "nslookup", name)


def test_an_address_has_a_name(web: Container, asks: Container) -> None:
    assert "web.lab" in said(asks, "nslookup", address(web))


def test_an_unknown_name_is_refused_at_once(asks: Container) -> None:
    start = time.monotonic()
    assert "NXDOMAIN" in said(asks, "nslookup", "nobody")
    assert time.monotonic() - start < 2


def test_a_name_goes_with_its_container(asks: Container) -> None:
    with container("brief", network="lab") as brief:
        brief.start()
        assert "Address: 10." in said(asks, "nslookup", "brief")
        brief.stop()
        assert becomes_true(lambda: "NXDOMAIN" in said(asks, "nslookup", "brief"))


def test_the_default_network_has_addresses_and_no_names(asks: Container) -> None:
    with (
        container("one", network="bridge") as one,
        container("two", network="bridge") as two,
    ):
        one.start()
        two.start()
        assert "NXDOMAIN" in said(one, "nslookup", "two")
        assert "1 packets received" in said(one, "ping", "-c1", "-W2", address(two))


def test_its_files_in_etc_are_as_docker_writes_them(asks: Container) -> None:
    assert read(asks, "/etc/hostname") == "asks\n"
    hosts = read(asks, "/etc/hosts").splitlines()
    assert hosts[0] == "127.0.0.1\tlocalhost"
    assert hosts[-2:] == ["10.1.2.3\tdb", f"{address(asks)}\tasks"]
    assert read(asks, "/etc/resolv.conf").startswith("nameserver 127.0.0.11\n")


def test_the_files_are_no_change_of_the_containers(asks: Container) -> None:
    upper = Path(asks.layers.upperdir)
    assert (
        sorted(p.name for p in upper.rglob("*") if p.stat().st_size and p.is_file())
        == []
    )


def test_a_published_port_answers_on_the_hosts_loopback(web: Container) -> None:
    assert becomes_true(lambda: listens(web))
    assert page("127.0.0.1", published(web)) == "web"


def test_and_only_there_when_only_that_was_asked_for(web: Container) -> None:
    with pytest.raises(ConnectionRefusedError):
        page("127.0.0.2", published(web))


def test_a_datagram_goes_in_and_its_answer_comes_back(lab: Network) -> None:
    with container("echo", network="lab", publish=["7/udp"]) as box, ExitStack() as end:
        box.start()
        # This machine's Python, in the container's network namespace.
        there = JoinNamespaces(box.pid, CLONE.NEWNET)
        plan = Plan(there, Exec([sys.executable, "-c", ECHO]))
        end.enter_context(plan.fork()).run()
        port = published(box)
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.settimeout(0.2)
            udp.connect(("127.0.0.1", port))
            assert becomes_true(lambda: answers(udp))


def answers(udp: socket.socket) -> bool:
    try:
        udp.send(b"hello")
        return udp.recv(100) == b"hello"
    except (TimeoutError, ConnectionRefusedError):
        return False


def test_a_range_is_published_in_order(lab: Network) -> None:
    with container("many", network="lab", publish=["28000-28002:80-82"]) as box:
        box.start()
        assert box.connections.attachment is not None
        shown = [str(port) for port in box.connections.attachment.ports]
        assert shown == [f"0.0.0.0:2800{n}->8{n}/tcp" for n in range(3)]


def test_the_first_free_port_of_a_choice_is_taken(lab: Network) -> None:
    box = container("picky", network="lab", publish=["28010-28019:80"])
    with box, socket.create_server(("0.0.0.0", 28010)):
        box.start()
        assert published(box) == 28011


def test_a_port_that_a_program_has_is_refused_with_its_name(lab: Network) -> None:
    box = container("late", network="lab", publish=["28020:80"])
    taken = socket.create_server(("0.0.0.0", 28020))
    with box, taken, pytest.raises(StateError) as refused:
        box.start()
    me = Path("/proc/self/comm").read_text().strip()
    assert str(refused.value).splitlines() == [
        "published port 0.0.0.0:28020/tcp: taken",
        f"the program {me!r} of this host has it",
        "try: choose another port, or let one be found: -p 80 (see bind(2))",
    ]


def test_a_port_that_a_container_has_is_refused_with_its_name(lab: Network) -> None:
    first = container("first", network="lab", publish=["28030:80"])
    second = container("second", network="lab", publish=["28030:80"])
    with first, second:
        first.start()
        with pytest.raises(StateError, match="container 'first' has it"):
            second.start()
        first.stop()
        assert becomes_true(lambda: starts(second))


def starts(box: Container) -> bool:
    try:
        box.start()
    except StateError:
        return False
    return True


def test_a_container_has_a_card_on_each_of_its_networks(lab: Network) -> None:
    other = Network.create("other")
    with (
        container("both", network=["lab", "other"]) as both,
        container("far", network="other") as far,
    ):
        both.start()
        far.start()
        assert "1 packets received" in said(both, "ping", "-c1", "-W2", "far")
        links = Path(f"/proc/{both.pid}/net/dev").read_text()
        assert "eth0:" in links and "eth1:" in links
        routes = Path(f"/proc/{both.pid}/net/route").read_text().splitlines()[1:]
        assert [r.split()[0] for r in routes if r.split()[1] == "00000000"] == ["eth0"]
    other.remove()


def test_none_has_a_loopback_and_nothing_else() -> None:
    with container("alone", network="none") as box:
        box.start()
        assert "127.0.0.1" in said(box, "ip", "addr")
        rows = Path(f"/proc/{box.pid}/net/dev").read_text().splitlines()[2:]
        assert [row.split(":")[0].strip() for row in rows if "eth" in row] == []
        assert "1 packets received" in said(box, "ping", "-c1", "-W2", "127.0.0.1")


def test_host_has_the_hosts_own_links() -> None:
    with container("guest", network="host") as box:
        box.start()
        ours = os.readlink("/proc/self/ns/net")
        assert os.readlink(f"/proc/{box.pid}/ns/net") == ours


def test_a_container_may_share_anothers_network(web: Container) -> None:
    with container("side", network="container:web") as box:
        box.start()
        theirs = os.readlink(f"/proc/{web.pid}/ns/net")
        assert os.readlink(f"/proc/{box.pid}/ns/net") == theirs
        assert said(box, "wget", "-q", "-O-", "http://127.0.0.1/etc/hostname") == "web"


@pytest.mark.parametrize(
    ("options", "meaning"),
    [
        ({"network": "nowhere"}, "those that there are"),
        ({"network": ["none", "lab"]}, "one network namespace at a time"),
        ({"network": "host", "publish": ["80"]}, "no address of its own"),
        ({"network": "container:nobody"}, "namespace is what was to be shared"),
        ({"network": "lab", "publish": ["x"]}, "'x' is no port"),
        ({"network": "lab", "add_host": ["x:y"]}, "'y' does not appear"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_made(
    lab: Network, options: dict[str, object], meaning: str
) -> None:
    before = ours()
    with pytest.raises((StateError, DocumentError)) as refused:
        container("wrong", **options)
    assert meaning in refused.value.meaning
    assert "wrong" not in [lease.container for lease in leases()]
    assert {line for line in ours() - before if "process" not in line} == set()


def test_inside_the_hosts_links_can_be_neither_seen_nor_changed(
    web: Container, lab: Network
) -> None:
    assert lab.bridge not in said(web, "ip", "link")
    assert "No such device" in said(web, "ip", "link", "set", lab.bridge, "down")


def test_another_network_can_not_be_reached(web: Container) -> None:
    other = Network.create("other")
    with container("far", SERVE, network="other") as far:
        far.start()
        assert "100% packet loss" in said(web, "ping", "-c1", "-W1", address(far))
    other.remove()


def test_a_neighbour_can_not_take_a_published_ports_packets(lab: Network) -> None:
    with container("honest", SERVE, network="lab", publish=["28040:80"]) as honest:
        honest.start()
        assert becomes_true(lambda: listens(honest))
        with container("thief", SERVE, network="lab") as thief:
            thief.start()
            assert becomes_true(lambda: listens(thief))
            # It has every capability in its own namespace: the address, and the MAC
            # address, which the bridge would learn from its first packet.
            mac = Path(f"/proc/{honest.pid}/root/sys/class/net/eth0/address")
            said(thief, "ip", "addr", "add", f"{address(honest)}/24", "dev", "eth0")
            said(thief, "arping", "-c2", "-U", "-I", "eth0", address(honest))
            assert page("127.0.0.1", 28040) == "honest"
            said(thief, "ip", "link", "set", "eth0", "address", mac.read_text().strip())
            said(thief, "arping", "-c2", "-U", "-I", "eth0", address(honest))
            assert page("127.0.0.1", 28040) == "honest"


def test_several_come_and_go_and_linux_is_as_it_was(lab: Network) -> None:
    before, leased = ours(), leases()
    for _ in range(2):
        with ExitStack() as all_of_them:
            boxes = [container(f"n{i}", network="lab") for i in range(4)]
            for box in boxes:
                all_of_them.enter_context(box)
                box.start()
            assert len({address(box) for box in boxes}) == 4
    assert becomes_true(lambda: ours() - before == set())
    assert leases() == leased


def test_addresses_are_used_again_and_used_up(lab: Network) -> None:
    small = Network.create("small", subnet="10.99.99.0/29")
    with ExitStack() as all_of_them:
        for number in range(5):
            all_of_them.enter_context(container(f"s{number}", network="small"))
        with pytest.raises(StateError) as full:
            container("sixth", network="small")
        assert full.value.meaning == "5 containers fit in, and they are there"
    with container("again", network="small") as box:
        assert address(box) == "10.99.99.2"
    small.remove()


def test_a_network_with_containers_on_it_stays(web: Container, lab: Network) -> None:
    with pytest.raises(StateError, match="containers are on it"):
        lab.remove()
    assert Network.of("lab") == lab


def test_a_subnet_that_the_host_uses_is_refused() -> None:
    linux = Linux()
    linux.rtnetlink("link add", ifname="labkittest0", kind="bridge")
    try:
        linux.rtnetlink(
            "addr add", link="labkittest0", address="10.77.0.1", prefixlen=24
        )
        linux.rtnetlink("link set", link="labkittest0", state="up")
        with pytest.raises(StateError, match="overlaps 10.77.0.0/24") as refused:
            Network.create("clash", subnet="10.77.0.0/16")
        assert "route over labkittest0" in refused.value.meaning
    finally:
        linux.rtnetlink("link del", link="labkittest0")


def test_two_networks_do_not_overlap(lab: Network) -> None:
    with pytest.raises(StateError, match="overlaps") as refused:
        Network.create("twin", subnet=lab.subnet)
    assert "network 'lab'" in refused.value.meaning

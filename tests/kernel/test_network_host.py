"""What a host does with a network's packets, in a namespace that plays the host."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import Child, Container
from labkit.errors import HostError, StateError
from labkit.linux import Linux
from labkit.linux.link_list import links
from labkit.network import Network, bridges, client, firewall, networks, nft
from labkit.network.names import Question, answer
from labkit.sweep import left, sweep
from tests.kernel.playing_host import (
    HOST,
    OUTSIDE,
    forward,
    on_a_host,
    page,
    python,
    root,
    somebody_outside,
)
from tests.kernel.probed_once import container
from tests.kernel.test_network import SERVE, address, listens, said
from tests.kernel.watching import becomes_true
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
PORT = 8080
FETCH = (
    f's = socket.create_connection(("{HOST}", {PORT}), 5); '
    's.send(b"GET /etc/hostname HTTP/1.0\\r\\n\\r\\n"); '
    "print(s.makefile().read().split()[-1])"
)
# Listens, says nothing, and keeps the connection: whose it is, /proc tells.
HOLD = (
    f's = socket.create_connection(("{HOST}", {PORT}), 5); s.settimeout(1); s.recv(1)'
)
DROPS = (
    "table ip own { chain f { type filter hook forward priority 0; policy drop; }; }"
)


@pytest.fixture(autouse=True)
def needs_nft() -> None:
    need("nft", nft.program(), "the program nft isn't here")


@contextmanager
def web(**options: object) -> Iterator[Container]:
    with container("web", SERVE, root=root(), publish=[f"{PORT}:80"], **options) as box:
        box.start()
        assert becomes_true(lambda: listens(box))
        yield box


def load(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def peer_of(box: Container) -> str:
    """Return who is connected to its port 80, as the container's Linux says."""
    table = Path(f"/proc/{box.pid}/net/tcp6").read_text()
    table += Path(f"/proc/{box.pid}/net/tcp").read_text()
    rows = [line.split() for line in table.splitlines()]
    found = [row[2] for row in rows if row[1].endswith(":0050") and row[3] == "01"]
    number = found[0].split(":")[0][-8:] if found else ""
    return ".".join(str(part) for part in reversed(bytes.fromhex(number)))


def seen_from(box: Container, outside: Child) -> str:
    """Connect from outside, and return the address that the container sees."""
    thread = threading.Thread(target=python, args=(outside, HOLD))
    thread.start()
    assert becomes_true(lambda: peer_of(box))
    peer = peer_of(box)
    thread.join()
    return peer


def test_a_published_port_answers_on_the_hosts_addresses_by_translation() -> None:
    def translated() -> None:
        forward(True)
        with somebody_outside() as outside, web() as box:
            assert python(outside, FETCH) == "web"
            assert seen_from(box, outside) == OUTSIDE
            assert f"dnat to {address(box)}:80" in firewall.listed()

    on_a_host(translated)


def test_a_host_that_passes_nothing_on_answers_itself() -> None:
    def relayed() -> None:
        forward(False)
        with somebody_outside() as outside, web() as box:
            assert python(outside, FETCH) == "web"
            assert seen_from(box, outside) == Network.of("bridge").gateway

    on_a_host(relayed)


def test_so_does_one_whose_firewall_drops_what_it_would_pass_on() -> None:
    def dropped() -> None:
        forward(True)
        load(DROPS)
        with somebody_outside() as outside, web() as box:
            assert python(outside, FETCH) == "web"
            assert page("127.0.0.1", PORT) == "web"
            said_why = Network.of("bridge").way_out()
            assert "firewall drops what it would pass on (ip own f)" in said_why
            assert "100% packet loss" in said(box, "ping", "-c1", "-W1", OUTSIDE)

    on_a_host(dropped)


def test_there_is_a_way_out_and_outside_sees_the_host() -> None:
    def way_out() -> None:
        forward(True)
        code = (
            's = socket.create_server(("", 9)); s.settimeout(5); '
            "c, a = s.accept(); c.send(a[0].encode())"
        )
        with somebody_outside() as outside, web() as box:
            server = threading.Thread(target=python, args=(outside, code))
            server.start()
            try:
                assert becomes_true(
                    lambda: said(box, "nc", "-w2", OUTSIDE, "9") == HOST
                )
            finally:
                server.join()

    on_a_host(way_out)


def serve_one_name(server: socket.socket) -> None:
    """Be a name server that knows one name, whatever it is asked."""
    while True:
        try:
            message, sender = server.recvfrom(512)
        except OSError:
            return
        server.sendto(answer(Question.read(message), ["198.51.100.77"]), sender)


def test_what_the_lab_does_not_know_the_named_server_is_asked() -> None:
    def outside_names() -> None:
        Network.create("inner", internal=True)
        with socket.socket(type=socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 53))
            asked = threading.Thread(target=serve_one_name, args=(server,))
            asked.daemon = True  # it waits in recvfrom until this process ends
            asked.start()
            names = {"dns": ["127.0.0.1"], "root": root()}
            with container("web", network="bridge", **names) as box:
                box.start()
                told = said(box, "nslookup", "far.example")
                assert "Address: 198.51.100.77" in told
            with container("shut", network="inner", **names) as box:
                box.start()
                assert "198.51.100.77" not in said(box, "nslookup", "far.example")
        Network.of("inner").remove()

    on_a_host(outside_names)


def test_an_internal_network_has_none() -> None:
    def internal() -> None:
        forward(True)
        Network.create("inner", internal=True)
        with somebody_outside(route=True), web(network="inner") as box:
            assert "default" not in said(box, "ip", "route")
            gateway = Network.of("inner").gateway
            said(box, "ip", "route", "add", "default", "via", gateway)
            assert "100% packet loss" in said(box, "ping", "-c1", "-W1", OUTSIDE)
            assert page("127.0.0.1", PORT) == "web"
        Network.of("inner").remove()

    on_a_host(internal)


def test_nobody_outside_reaches_what_is_not_published() -> None:
    def unpublished() -> None:
        forward(True)
        with somebody_outside(route=True) as outside, web() as box:
            direct = FETCH.replace(HOST, address(box)).replace(f"{PORT}), 5", "80), 1")
            assert "timed out" in python(outside, direct)
            assert python(outside, FETCH) == "web"

    on_a_host(unpublished)


def test_networks_stay_apart_on_a_host_that_passes_packets_on() -> None:
    def apart() -> None:
        forward(True)
        Network.create("other")
        with web() as box, container("far", SERVE, root=root(), network="other") as far:
            far.start()
            assert "100% packet loss" in said(box, "ping", "-c1", "-W1", address(far))
            url = f"http://{address(box)}/etc/hostname"
            tried = far.exec(["timeout", "2", "wget", "-q", "-O-", url])
            assert not tried.exit.ok and tried.stdout == ""
        Network.of("other").remove()

    on_a_host(apart)


def test_a_container_reaches_its_own_published_port_by_the_hosts_address() -> None:
    def hairpin() -> None:
        forward(True)
        with somebody_outside(), web() as box:
            url = f"http://{HOST}:{PORT}/etc/hostname"
            assert said(box, "timeout", "3", "wget", "-q", "-O-", url) == "web"

    on_a_host(hairpin)


def test_the_rules_go_with_the_container_and_the_table_with_the_last() -> None:
    def goes() -> None:
        forward(True)
        Network.create("stays")
        with container("keeps", root=root(), network="stays") as keeps:
            keeps.start()
            with web():
                assert "dnat to" in firewall.listed()
            assert "dnat to" not in firewall.listed() != ""
        assert becomes_true(lambda: firewall.listed() == "")
        Network.of("stays").remove()

    on_a_host(goes)


def test_a_bridge_that_somebody_removed_is_made_again_and_everybody_plugged_in() -> (
    None
):
    def dead_bridge() -> None:
        forward(False)
        with web() as box:
            bridge = Network.of("bridge").bridge
            Linux().rtnetlink("link del", link=bridge)
            with container("next", root=root(), network="bridge") as after:
                after.start()
                url = f"http://{address(box)}/etc/hostname"
                assert said(after, "timeout", "2", "wget", "-q", "-O-", url) == "web"
                assert page("127.0.0.1", PORT) == "web"

    on_a_host(dead_bridge)


def test_a_subnet_that_the_host_got_meanwhile_is_told() -> None:
    def meanwhile() -> None:
        network = Network.create("late")
        linux = Linux()
        linux.rtnetlink("link add", ifname="vpn0", kind="bridge")
        linux.rtnetlink("link set", link="vpn0", state="up")
        inside = network.gateway.rsplit(".", 1)[0] + ".77"
        linux.rtnetlink("addr add", link="vpn0", address=inside, prefixlen=24)
        with container("one", root=root(), network="late") as box:
            with pytest.raises(StateError, match="is in use by now") as refused:
                box.start()
            assert "over vpn0" in refused.value.meaning
        network.remove()
        assert Network.create("late").subnet != network.subnet
        Network.of("late").remove()

    on_a_host(meanwhile)


def test_two_states_on_one_host_do_not_touch_each_other() -> None:
    def two() -> None:
        forward(True)
        first = os.environ["LABKIT_STATE"]
        with web() as box:
            its = address(box)
            os.environ["LABKIT_STATE"] = f"{first}-2"
            with container("two", SERVE, root=root(), publish=["8081:80"]) as other:
                other.start()
                assert becomes_true(lambda: listens(other))
                assert address(other) != its
                assert page("127.0.0.1", 8081) == "two"
                assert page("127.0.0.1", PORT) == "web"
                assert "link" not in sweep().text()
                taken = container("third", root=root(), publish=[f"{PORT}:80"])
                with taken, pytest.raises(StateError) as refused:
                    taken.start()
                assert "the program 'labkit:network'" in refused.value.meaning
            os.environ["LABKIT_STATE"] = first
            assert page("127.0.0.1", PORT) == "web"

    on_a_host(two)


def test_the_usual_states_sweep_leaves_anothers_cables_alone() -> None:
    def usual() -> None:
        forward(False)
        first = os.environ["LABKIT_STATE"]
        with web() as box:
            os.environ["LABKIT_STATE"] = networks._USUAL = f"{first}-usual"
            assert networks.tag() == "" and not client.answers()
            assert "removed: link" not in sweep().text()
            os.environ["LABKIT_STATE"] = first
            # Past the relay: over the cable.
            assert page(address(box), 80) == "web"

    on_a_host(usual)


def test_what_a_removed_state_directory_left_is_swept_by_another() -> None:
    def removed() -> None:
        first = os.environ["LABKIT_STATE"]
        network = Network.default()
        bridges.bring_up(network)
        bridges.set_rules(firewall.rules([network], []))
        (table,) = firewall.tables()
        os.environ["LABKIT_STATE"] = f"{first}-2"
        assert "link" not in left().text() and "rules" not in left().text()
        shutil.rmtree(first)  # and nobody knows any more what it was
        with its_process(first):
            assert "link" not in left().text() and "rules" not in left().text()
        with something_plugged_into(network.bridge):
            assert "link" not in left().text() and "rules" not in left().text()
        said = sweep().text()
        gone = "of a state directory that is gone"
        assert f"removed: link {network.bridge} ({gone})" in said
        assert f"removed: rules table ip {table} (its bridges are gone)" in said
        assert [link.name for link in links()] == ["lo"]
        assert firewall.tables() == ()

    on_a_host(removed)


@contextmanager
def its_process(state: str) -> Iterator[None]:
    """A process that looks like the network's own of another state directory."""
    code = "open('/proc/self/comm', 'w').write('labkit:network'); print(flush=True)"
    argv = [sys.executable, "-c", f"{code}; input()"]
    pipe = subprocess.PIPE
    environ = {**os.environ, "LABKIT_STATE": state}
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, env=environ) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        yield
        process.stdin.write(b"\n")
        process.stdin.close()


@contextmanager
def something_plugged_into(bridge: str) -> Iterator[None]:
    """A cable's end at a bridge."""
    peer = {"ifname": "far"}
    Linux().rtnetlink("link add", ifname="near", kind="veth", peer=peer, master=bridge)
    yield
    Linux().rtnetlink("link del", link="near")


def test_the_links_of_a_host_are_listed_as_pyroute2_lists_them() -> None:
    def listed() -> None:
        from pyroute2 import IPRoute

        linux = Linux()
        linux.rtnetlink("link add", ifname="a0", kind="bridge")
        linux.rtnetlink("link set", link="a0", ifalias="/var/lib/\u00e4")
        with something_plugged_into("a0"), IPRoute() as netlink:
            rows = netlink.get_links()
            names = {row["index"]: row.get("ifname") for row in rows}
            theirs = {
                (row.get("ifname"), names.get(row.get("master")), row.get("ifalias"))
                for row in rows
            }
            ours = {(one.name, one.master, one.alias) for one in links()}
            assert ours == {tuple(word or "" for word in row) for row in theirs}
            assert {("near", "a0", ""), ("a0", "", "/var/lib/\u00e4")} <= ours

    on_a_host(listed)


def test_without_nft_a_host_that_passes_packets_on_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> None:
        monkeypatch.setattr("labkit.network.nft._SBIN", "/nowhere")
        forward(True)
        with pytest.raises(HostError, match="nft: this program isn't here"):
            bridges.set_rules("")
        forward(False)  # where nothing is passed on, networks are apart without rules
        bridges.set_rules("")

    on_a_host(refused)


def test_a_rule_that_the_kernel_does_not_know_is_told_in_three_lines() -> None:
    def unknown() -> None:
        with pytest.raises(HostError) as refused:
            firewall.apply("table ip x { chain y { nonsense } }\n")
        assert len(str(refused.value).splitlines()) == 3
        assert firewall.listed() == ""

    on_a_host(unknown)

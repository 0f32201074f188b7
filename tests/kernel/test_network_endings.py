"""Whatever ends, and however: no port, address, rule, link or process is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import CLONE, Container, Exec, Plan, step
from labkit.errors import HostError, LabError
from labkit.host import probe
from labkit.linux import Linux
from labkit.network import Network, Wish, attach, client
from labkit.network.leases import Lease, leases
from labkit.primitives.clone import Clone
from labkit.runtime.fork_server import ForkServer
from labkit.sweep import left, sweep
from tests.kernel.monitored import monitor_of, simple
from tests.kernel.playing_host import page
from tests.kernel.probed_once import container
from tests.kernel.test_network import SERVE, address, listens, said
from tests.kernel.watching import becomes_true
from tests.support.ours import ours

pytestmark = pytest.mark.usefixtures("as_root")
PORT = 28100
SLEEP = ("sleep", "1000")


def ask_for_one_with_a_network(server: ForkServer, name: str) -> None:
    """Be a notebook that has a container watched, and is killed when that runs."""
    wired = attach(name, Wish()).wire(Plan(Clone(CLONE.NEWNET), Exec(list(SLEEP))))
    server.start(replace(simple(name, SLEEP), plan=wired))
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def web() -> Iterator[Container]:
    with container("web", SERVE, network="bridge", publish=[f"{PORT}:80"]) as box:
        box.start()
        assert becomes_true(lambda: listens(box))
        yield box


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_there(link: str) -> bool:
    return link in {name for _, name in socket.if_nameindex()}


def network_process() -> int:
    """The pid of this state's network process, found by its environment."""
    wanted = f"LABKIT_STATE={os.environ['LABKIT_STATE']}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text() == "labkit:network\n" and wanted in (
                process / "environ"
            ).read_bytes():
                return int(process.name)
        except OSError:
            continue
    raise AssertionError("it doesn't run")


def test_the_networks_process_and_its_bridge_go_with_the_last_container() -> None:
    with web():
        assert client.answers()
        assert Network.of("bridge").bridge in links()
    assert becomes_true(lambda: not client.answers())
    assert Network.of("bridge").bridge not in links()
    assert leases() == ()


def links() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def test_a_killed_containers_port_is_free_at_once() -> None:
    with web() as box:
        assert not is_free(PORT)
        os.kill(box.pid, signal.SIGKILL)
        assert becomes_true(lambda: is_free(PORT))
        box.start()
        assert becomes_true(lambda: listens(box))
        assert page("127.0.0.1", PORT) == "web"


def test_a_killed_notebook_leaves_nothing() -> None:
    before = ours()
    code = f"""
import os, signal
from labkit import container
box = container("web", network="bridge", publish=["{PORT}:80"])
box.start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert becomes_true(lambda: is_free(PORT))
    assert becomes_true(lambda: leases() == ())
    assert becomes_true(lambda: not client.answers())
    sweep()  # the layers and the cgroup, as ever
    assert becomes_true(lambda: ours() - before == set())


def test_a_container_with_a_monitor_keeps_its_network_when_its_notebook_is_killed(
    server: ForkServer,
) -> None:
    notebook = os.fork()
    if notebook == 0:
        try:
            ask_for_one_with_a_network(server, "lasting")
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(notebook, 0)[1]) == -signal.SIGKILL
    for _ in range(3):  # it has heard of a death when it has answered
        client.ask("release", "nobody")
    lease = Lease.of("lasting")
    assert lease is not None and lease.runs and not sweep(probe()).text().count("lease")
    cable = lease.endpoints[0].near
    os.kill(network_process(), signal.SIGKILL)  # the next one goes on with it
    with web() as box:
        there = Path(f"/proc/{lease.pid}/net/dev").read_text()
        assert "eth0" in there and is_there(cable)
        os.kill(lease.pid, signal.SIGKILL)
        assert becomes_true(lambda: Lease.of("lasting") is None)
        assert box.running
    assert becomes_true(lambda: monitor_of("lasting") == 0)
    assert becomes_true(lambda: not is_there(cable))


def test_the_networks_process_is_killed_and_the_next_start_mends_it() -> None:
    with web() as box:
        os.kill(network_process(), signal.SIGKILL)
        assert becomes_true(lambda: is_free(PORT))
        with container("next", network="bridge") as following:
            following.start()
            assert page("127.0.0.1", PORT) == "web"
            assert "1 packets received" in said(
                following, "ping", "-c1", "-W2", address(box)
            )


def test_a_start_while_it_is_dead_says_so_or_starts_it_again() -> None:
    with web() as box:
        box.stop()
        os.kill(network_process(), signal.SIGKILL)
        assert becomes_true(lambda: not client.answers())
        with pytest.raises(LabError, match="connect"):
            box.plan.fork().run()
        box.start()
        assert becomes_true(lambda: listens(box))
        assert page("127.0.0.1", PORT) == "web"


def test_everything_is_killed_and_sweep_removes_it() -> None:
    before = ours()

    def leaves(linux: Linux) -> None:
        box = container("web", network="bridge", publish=[f"{PORT}:80"])
        box.connections.ensure()
        client.ask("reserve", "web")
        os.kill(network_process(), signal.SIGKILL)

    with Plan(step(leaves)).fork() as child:
        child.run()
    # A process that was killed answers until all of it has ended.
    assert becomes_true(lambda: not client.answers())
    found = left().text()
    assert "lease web" in found and "link labkit" in found
    done = sweep().text()
    assert "removed: lease web" in done and "not removed" not in done
    assert becomes_true(lambda: ours() - before == set())


def test_a_living_containers_links_are_not_swept() -> None:
    with web() as box:
        os.kill(network_process(), signal.SIGKILL)
        assert becomes_true(lambda: not client.answers())
        text = left().text()
        assert "link" not in text and "lease" not in text and "rules" not in text
        assert Lease.of("web") is not None
        assert box.running


def test_half_a_lease_of_a_power_cut_is_no_lease() -> None:
    with web():
        path = Path(os.environ["LABKIT_STATE"], "leases", "half.json")
        path.write_text('{"container": "ha')
        assert [lease.container for lease in leases()] == ["web"]
        path.unlink()


def test_nonsense_on_the_socket_does_no_harm() -> None:
    with web():
        for nonsense in ("", "reserve", "started web x", "frobnicate 1", "\0" * 9):
            with pytest.raises((LabError, HostError)):
                client.ask(*nonsense.split(" "))
        assert page("127.0.0.1", PORT) == "web"


def test_a_relay_is_not_blocked_by_one_that_says_nothing() -> None:
    with web(), socket.create_connection(("127.0.0.1", PORT)):
        start = time.monotonic()
        assert page("127.0.0.1", PORT) == "web"
        assert time.monotonic() - start < 3


def test_the_default_network_can_be_removed_and_comes_back() -> None:
    with web():
        pass
    Network.of("bridge").remove()
    with web():
        assert Network.of("bridge").name == "bridge"

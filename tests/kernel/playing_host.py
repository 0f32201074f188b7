"""A network namespace that plays the host: its links, its firewall, its sysctls.

Tests that switch packet forwarding on, or load a firewall, do it there: the machine
itself keeps what it has.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

from labkit import Child, Plan, Unshare
from labkit.linux import CLONE, Linux
from labkit.network import AddAddress, AddRoute, LinkUp
from labkit.rootfs import rootfs
from tests.kernel.probed_once import this_host

HOST, OUTSIDE = "198.51.100.1", "198.51.100.2"  # TEST-NET-2 of RFC 5737


def on_a_host(act: Callable[[], None]) -> None:
    """Run a function in a process whose network namespace is new, as if on a host."""
    state = Path(os.environ["LABKIT_STATE"]).with_name(f"host-{act.__name__}")
    said = state.with_suffix(".txt")
    root()  # made once, in the state that all tests share
    this_host()
    pid = os.fork()
    if pid == 0:
        _play(act, state, said)
    _, status = os.waitpid(pid, 0)
    shutil.rmtree(state, ignore_errors=True)
    if status:
        pytest.fail(said.read_text() if said.exists() else f"status {status}")


def _play(act: Callable[[], None], state: Path, said: Path) -> None:
    code = 1
    try:
        linux = Linux(forked=True)
        linux.unshare(CLONE.NEWNET)
        linux.rtnetlink("link set", link="lo", state="up")
        os.environ["LABKIT_STATE"] = str(state)
        act()
        code = 0
    except BaseException:
        said.write_text(traceback.format_exc())
    finally:
        os._exit(code)


@cache
def root() -> str:
    """The lab's small Linux, for containers whose state is a host's own."""
    return str(rootfs("alpine").path)


def forward(on: bool) -> None:
    """Let this host pass packets on, or not."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text(str(int(on)))


@contextmanager
def somebody_outside(*, route: bool = False) -> Iterator[Child]:
    """A machine on the other end of the host's cable."""
    steps = [AddAddress("eth0", f"{OUTSIDE}/24"), LinkUp("eth0")]
    if route:
        steps.append(AddRoute(HOST))
    with Plan(Unshare(CLONE.NEWNET), LinkUp("lo"), *steps).fork() as child:
        child.next()
        child.next()
        linux = Linux()
        peer = {"ifname": "eth0", "net_ns_pid": child.pid}
        linux.rtnetlink("link add", ifname="wan0", kind="veth", peer=peer)
        linux.rtnetlink("addr add", link="wan0", address=HOST, prefixlen=24)
        linux.rtnetlink("link set", link="wan0", state="up")
        child.run()
        yield child


def python(child: Child, code: str) -> str:
    """Run Python in a child's namespaces; return what it prints."""
    ended = child.exec([sys.executable, "-c", f"import socket\n{code}"], timeout_s=20)
    return (ended.stdout + ended.stderr).strip()


def page(address: str, port: int, path: str = "/etc/hostname") -> str:
    """Fetch a page by plain HTTP; return its last line."""
    with socket.create_connection((address, port), timeout=5) as stream:
        stream.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = stream.makefile("rb").read().decode()
    return answer.strip().splitlines()[-1]

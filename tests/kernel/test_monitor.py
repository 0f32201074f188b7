"""A monitor keeps what its container writes and how it ends, and dies with it."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.host import Host, probe
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.primitives.clone import PutIntoCgroup
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir
from labkit.primitives.user import SetUser
from labkit.runtime.attached import MOST_PENDING
from labkit.runtime.ending import ending_in
from labkit.runtime.fork_server import ForkServer, Monitored, ending_of
from labkit.runtime.log import LONGEST, entries_in
from labkit.runtime.request import Request
from labkit.sweep import left, sweep
from tests.kernel.monitored import (
    Parts,
    directory_of,
    kill_monitor_of,
    monitor_of,
    nothing_is_left_of,
    parts,
    said,
    simple,
)
from tests.kernel.watching import becomes_true, children_of, is_gone
from tests.support.skips import need

SLEEP = ("sleep", "1000")


@pytest.fixture(scope="module")
def whole(host: Host) -> Iterator[Parts]:
    """A container with everything: layers, a cgroup, all namespaces."""
    need("root", host.privilege.root, "these containers are root's")
    with parts("watched", host) as one:
        yield one


def open_in(pid: int) -> list[str]:
    """Return what a process has open; what it closes meanwhile is left out."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return found


def log_of(box: Monitored, stream: str = "stdout") -> bytes:
    """Return what a container wrote to a stream, byte for byte."""
    entries = [e["log"] for e in entries_in(box.directory) if e["stream"] == stream]
    return "".join(entries).encode("utf-8", "surrogateescape")


def run(server: ForkServer, name: str, script: str) -> Monitored:
    """Run a script to its end, and until its monitor has left."""
    box = server.start(simple(name, ["sh", "-c", script]))
    box.wait_until_gone()
    return box


def test_both_streams_are_kept_apart(server: ForkServer) -> None:
    box = run(server, "one", "echo out; echo err >&2")
    assert (log_of(box), log_of(box, "stderr")) == (b"out\n", b"err\n")


def test_every_entry_has_its_time(server: ForkServer) -> None:
    (entry,) = entries_in(run(server, "one", "echo x").directory)
    year = time.strftime("%Y", time.gmtime())
    assert entry["time"].startswith(f"{year}-") and entry["time"].endswith("Z")


def test_what_is_no_text_stays_what_it_was(server: ForkServer) -> None:
    box = run(server, "one", r"printf '\377\376\000x\n'")
    assert log_of(box) == b"\xff\xfe\x00x\n"


def test_a_huge_line_is_kept_in_pieces_and_not_in_memory(server: ForkServer) -> None:
    script = "head -c 20000000 /dev/zero | tr '\\0' x; echo; sleep 1000"
    box = server.start(simple("one", ["sh", "-c", script]))
    monitor = monitor_of("one")
    assert becomes_true(lambda: ends_its_line(Path(box.directory, "log")))
    pages = Path(f"/proc/{monitor}/statm").read_text().split()[1]
    assert int(pages) * 4096 < 40_000_000
    box.kill()
    box.wait_until_gone()
    entries = list(entries_in(box.directory))
    assert max(len(entry["log"]) for entry in entries) == LONGEST
    all_is_there = log_of(box) == b"x" * 20_000_000 + b"\n"
    assert all_is_there  # without twenty megabytes in the report


def ends_its_line(log: Path) -> bool:
    """Say whether a log's last entry is the end of what was one line."""
    return log.exists() and rb'\n","stream"' in log.read_bytes()[-200:]


def test_the_log_has_a_bound(server: ForkServer) -> None:
    script = "seq 100000"
    request = replace(simple("one", ["sh", "-c", script]), log_bytes=400_000)
    box = server.start(request)
    box.wait_until_gone()
    sizes = [Path(box.directory, name).stat().st_size for name in ("log", "log.1")]
    assert sum(sizes) <= 400_000
    assert log_of(box).endswith(b"99999\n100000\n")


def test_who_is_attached_gets_frames_and_may_write(server: ForkServer) -> None:
    request = replace(simple("one", ["cat"]), stdin=True, hold=True)
    box = server.start(request)
    end = box.attach(stdin=True)
    box.go_on()
    end.sendall(b"hello\n")
    assert end.recv(100) == b"\x01\x00\x00\x00\x00\x00\x00\x06hello\n"
    end.shutdown(socket.SHUT_WR)
    ending = box.wait(10)
    assert ending is not None and ending.code == 0
    assert end.recv(100) == b""
    end.close()
    box.wait_until_gone()


def test_who_lets_go_changes_nothing(server: ForkServer) -> None:
    request = replace(simple("one", ["cat"]), stdin=True)
    box = server.start(request)
    box.attach(stdin=True).close()
    end = box.attach(stdin=True)
    end.sendall(b"still\n")
    assert end.recv(100).endswith(b"still\n")
    end.close()
    box.kill()
    box.wait_until_gone()


def test_a_slow_reader_gets_all_of_it(server: ForkServer) -> None:
    count = 4 * MOST_PENDING
    script = f"head -c {count} /dev/zero"
    box = server.start(replace(simple("one", ["sh", "-c", script]), hold=True))
    end = box.attach()
    box.go_on()
    time.sleep(0.2)
    end.settimeout(10)
    got = b"".join(iter(lambda: end.recv(65536), b""))
    assert got.count(b"\0") >= count
    end.close()
    box.wait_until_gone()


def test_without_stdin_there_is_nothing_to_read(server: ForkServer) -> None:
    assert log_of(run(server, "one", "wc -c")).strip() == b"0"


def test_an_orphan_is_reaped(server: ForkServer) -> None:
    box = server.start(simple("one", ["sh", "-c", "(true & ) ; sleep 1000"]))
    monitor = monitor_of("one")
    assert becomes_true(lambda: children_of(monitor) == [box.pid])
    box.kill()
    box.wait_until_gone()


def test_what_the_program_left_behind_ends_with_it(server: ForkServer) -> None:
    box = run(server, "one", "setsid sleep 1000 & echo $!")
    assert is_gone(int(log_of(box)))


def test_a_whole_container_leaves_nothing(server: ForkServer, whole: Parts) -> None:
    box = server.start(whole.request(["sh", "-c", "hostname; cat /proc/self/cgroup"]))
    ending = box.wait(10)
    assert ending is not None and ending.code == 0 and not ending.oom_killed
    box.wait_until_gone()
    assert log_of(box).startswith(b"watched\n")
    assert nothing_is_left_of(whole)


def test_the_mounts_are_held_until_the_end_is_told(
    server: ForkServer, whole: Parts
) -> None:
    box = server.start(whole.request(SLEEP))
    monitor, mounts = monitor_of(whole.name), os.readlink(f"/proc/{box.pid}/ns/mnt")
    assert becomes_true(lambda: mounts in open_in(monitor))
    box.kill()
    box.wait_until_gone()
    assert nothing_is_left_of(whole)


def test_one_that_is_killed_for_memory_says_so(
    server: ForkServer, whole: Parts
) -> None:
    plan = whole.plan(["sh", "-c", "x=$(tail /dev/zero)"])
    limited = [
        part
        for one in plan
        for part in ([limit_memory(whole), one] if is_move(one) else [one])
    ]
    box = server.start(whole.request_for(Plan(*limited)))
    ending = box.wait(30)
    assert ending is not None and ending.oom_killed
    box.wait_until_gone()


def is_move(one: object) -> bool:
    return isinstance(one, PutIntoCgroup)


def limit_memory(one: Parts) -> object:
    """Return a step that limits a container's memory to a few megabytes."""
    from labkit.primitives.cgroups.settings import LimitCgroup

    names = {"": "memory.max", "memory": "memory.limit_in_bytes"}
    swap = {"": "memory.swap.max", "memory": "memory.swappiness"}
    writes = [
        (HostPath(f"{place.directory}/{files[place.controller]}"), text)
        for place in one.places
        for files, text in ((names, "20000000"), (swap, "0"))
        if place.controller in files
        and (place.controller == "memory" or files is names)
    ]
    return LimitCgroup(one.name, tuple(writes))


class TestDeaths:
    """Whoever is killed: nothing half-made is left. At each step: test_every_step."""

    def test_the_notebooks_death_changes_nothing(self, server: ForkServer) -> None:
        pid = os.fork()
        if pid == 0:
            server.start(simple("one", ["sh", "-c", "sleep 0.2; echo still; exit 5"]))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        directory = directory_of("one")
        assert becomes_true(lambda: monitor_of("one") == 0)
        ending = ending_in(directory)
        assert ending is not None and ending.code == 5
        assert "still" in said("one")

    def test_a_monitors_death_ends_its_container(
        self, server: ForkServer, whole: Parts
    ) -> None:
        box = server.start(whole.request(SLEEP))
        kill_monitor_of(whole.name)
        # Nobody asks: its server has heard of it.
        assert becomes_true(lambda: nothing_is_left_of(whole))
        assert is_gone(box.pid)
        ending = box.wait()
        assert ending is not None and ending.lost and ending.code is None
        box.close()

    def test_a_set_uid_program_ends_with_its_monitor(
        self, set_uid_program: str, tmp_path: Path
    ) -> None:
        one = ForkServer.at(HostPath(str(tmp_path)))
        box = one.start(as_somebody("one", [set_uid_program, "sleep", "1000"]))
        kill_monitor_of("one")
        assert becomes_true(lambda: is_gone(box.pid))
        box.close()
        # Linux has forgotten whom it was to follow: without a server it goes on ...
        box = one.start(as_somebody("one", [set_uid_program, "sleep", "1000"]))
        server = one.pid
        os.kill(server, signal.SIGKILL)
        assert becomes_true(lambda: is_gone(server))
        monitor = kill_monitor_of("one")
        assert becomes_true(lambda: is_gone(monitor))
        time.sleep(0.05)
        assert not is_gone(box.pid)
        box.close()
        # ... until the next one begins.
        ForkServer.at(one.directory).start(simple("two", ["true"])).wait_until_gone()
        assert becomes_true(lambda: is_gone(box.pid))
        one.stop()

    def test_a_sweep_finds_it_as_well(self, whole: Parts, tmp_path: Path) -> None:
        one = ForkServer.at(HostPath(str(tmp_path)))
        box = one.start(whole.request(SLEEP))
        os.kill(one.pid, signal.SIGKILL)
        kill_monitor_of(whole.name)
        box.close()
        assert becomes_true(lambda: is_gone(box.pid))
        host = probe()
        assert "monitor watched" in left(host).text()
        assert "removed: monitor watched" in sweep(host).text()
        ending = ending_in(box.directory)
        assert ending is not None and ending.lost
        assert nothing_is_left_of(whole)

    def test_a_sweep_leaves_a_container_alone_that_is_watched(
        self, server: ForkServer, whole: Parts
    ) -> None:
        box = server.start(whole.request(SLEEP))
        sweep(probe())
        assert not is_gone(box.pid)
        box.kill()
        box.wait_until_gone()

    def test_the_monitor_may_be_killed_at_any_moment(
        self, server: ForkServer, whole: Parts
    ) -> None:
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                start_and_leave(
                    server, whole.plan(["sh", "-c", "sleep 0.01; exit 7"]), whole
                )
            becomes_true(lambda: monitor_of(whole.name))
            time.sleep(random.random() * 0.03)
            monitor = monitor_of(whole.name)
            if monitor:
                with contextlib.suppress(ProcessLookupError):  # it was quick
                    os.kill(monitor, signal.SIGKILL)
                assert becomes_true(lambda: is_gone(monitor))  # noqa: B023
            os.waitpid(pid, 0)
            ending_of(whole.name, directory_of(whole.name))
            assert becomes_true(lambda: nothing_is_left_of(whole))


@pytest.fixture
def set_uid_program(host: Host, as_root: None) -> Iterator[str]:
    """A program that runs as root whoever starts it, where everybody can."""
    need("busybox", host.busybox, "there is no statically linked busybox")
    place = os.path.dirname(os.environ["LABKIT_STATE"])
    need("suid", not os.statvfs(place).f_flag & os.ST_NOSUID, f"{place} is nosuid")
    with tempfile.TemporaryDirectory(prefix="set-uid-", dir=place) as folder:
        program = Path(shutil.copy(str(host.busybox), folder))
        program.chmod(0o4755)
        Path(folder).chmod(0o755)
        yield str(program)


def as_somebody(name: str, argv: list[str]) -> Request:
    """Return a request for a program that an ordinary user starts."""
    plan = Plan(Chdir("/"), SetUser(1000, 1000, ()), Exec(argv))
    return replace(simple(name, argv), plan=plan)


def start_and_leave(server: ForkServer, plan: Plan, one: Parts) -> None:
    """Be a notebook that asks for a container, and ends when that runs."""
    try:
        server.start(replace(one.request_for(plan), stdin=True))
    finally:
        os._exit(0)

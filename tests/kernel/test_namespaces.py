"""All eight namespaces: what differs, what doesn't, and who notices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import OrderError, SyscallError
from labkit.host import Host
from labkit.linux import CLONE, Linux, NamespaceType
from labkit.linux.proc import process
from labkit.plan import Child, Plan, step
from labkit.primitives.mounts import MakePrivate, MountFilesystem
from labkit.primitives.namespaces import (
    ALL,
    JoinNamespaces,
    Namespaces,
    SetHostname,
    Unshare,
)
from labkit.primitives.process import Exec, Fork
from tests.kernel.watching import becomes_true
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
ENTERED_BY_CHILDREN = (NamespaceType.PID, NamespaceType.TIME)


@pytest.mark.parametrize("kind", NamespaceType, ids=str)
def test_only_the_kind_that_was_unshared_differs(
    kind: NamespaceType, host: Host
) -> None:
    need(f"{kind}-namespace", kind in host.privilege.kinds, "this Linux has none")
    plan = Plan(Unshare(kind.clone)) + (
        Fork() if kind in ENTERED_BY_CHILDREN else Plan()
    )
    with plan.fork() as child:
        assert Namespaces.of(child.pid) - Namespaces.of() == frozenset()
        child.run()
        assert Namespaces.of(child.pid) - Namespaces.of() == {kind}


def test_a_pid_namespace_is_entered_by_the_next_child_only() -> None:
    with Plan(Unshare(CLONE.NEWPID), Fork()).fork() as child:
        child.next()
        assert Namespaces.of(child.pid) - Namespaces.of() == frozenset()
        assert child.exec(["sh", "-c", "echo $$"]).stdout == "1\n"


def test_the_first_process_of_a_pid_namespace_is_number_1() -> None:
    plan = Plan(Unshare(CLONE.NEWPID), Fork(), Exec(["sh", "-c", "echo $$; sleep 60"]))
    with plan.fork() as child:
        child.run()
        assert becomes_true(lambda: child.output == "1\n")
        assert process(child.pid).pids == (child.pid, 1)


def test_a_host_name_changes_inside_only() -> None:
    before = os.uname().nodename
    with Plan(Unshare(CLONE.NEWUTS), SetHostname("box")).fork() as child:
        child.run()
        assert child.exec(["hostname"]).stdout == "box\n"
        assert os.uname().nodename == before


def test_without_a_namespace_of_its_own_the_name_is_the_hosts() -> None:
    # The prevented failure, in a namespace that plays the host.
    with Plan(Unshare(CLONE.NEWUTS)).fork() as host:
        host.run()
        joined = Plan(JoinNamespaces(host.pid, CLONE.NEWUTS), SetHostname("oops"))
        with joined.fork() as child:
            child.run()
        assert host.exec(["hostname"]).stdout == "oops\n"
    with pytest.raises(OrderError):
        Plan(SetHostname("box"), Unshare(CLONE.NEWUTS)).fork()


def test_a_network_namespace_begins_with_a_loopback_that_is_down() -> None:
    with Plan(Unshare(CLONE.NEWNET)).fork() as child:
        child.run()
        devices = Path(f"/proc/{child.pid}/net/dev").read_text()
        assert devices.count(":") == 1
        assert "lo:" in devices


def test_shared_memory_and_queues_are_not_seen_from_another_ipc_namespace() -> None:
    with Plan(Unshare(CLONE.NEWIPC)).fork() as child:
        child.run()
        assert child.exec(["ipcmk", "-Q"]).exit.ok
        assert "0x" in child.exec(["ipcs", "-q"]).stdout
        inside = child.exec(["ipcs", "-q"]).stdout
    assert Path("/proc/sysvipc/msg").read_text().count("\n") == 1
    assert inside.count("0x") == 1


def test_a_cgroup_namespace_begins_at_the_own_cgroup() -> None:
    with Plan(Unshare(CLONE.NEWCGROUP)).fork() as child:
        child.run()
        rows = child.exec(["cat", "/proc/self/cgroup"]).stdout.splitlines()
        assert {row.rpartition(":")[2] for row in rows} == {"/"}


def test_a_user_namespace_without_a_map_knows_nobody() -> None:
    with Plan(Unshare(CLONE.NEWUSER)).fork() as child:
        child.run()
        assert child.exec(["id", "-u"]).stdout == "65534\n"


@pytest.fixture
def box() -> Iterator[Child]:
    """A process in six namespaces of its own, with its own /proc."""
    plan = Plan(
        Unshare(ALL),
        MakePrivate("/"),
        SetHostname("box"),
        Fork(),
        MountFilesystem("proc", "/proc"),
    )
    with plan.fork() as child:
        child.run()
        yield child


def test_a_container_differs_from_the_host_in_six_kinds(box: Child) -> None:
    difference = Namespaces.of(box.pid) - Namespaces.of()
    assert difference == set(NamespaceType) - {NamespaceType.USER, NamespaceType.TIME}


def test_a_container_sees_its_own_processes_only(box: Child) -> None:
    pids = box.exec(["sh", "-c", "echo /proc/[0-9]*"]).stdout.split()
    assert pids == ["/proc/1", "/proc/2"]


def test_another_process_can_join_as_docker_exec_does(box: Child) -> None:
    joined = Plan(JoinNamespaces(box.pid), Fork())
    with joined.fork() as child:
        child.run()
        assert Namespaces.of(child.pid) - Namespaces.of(box.pid) == frozenset()
        assert child.exec(["hostname"]).stdout == "box\n"
        assert process(child.pid).pids[-1] > 1


def test_joining_one_kind_leaves_the_others(box: Child) -> None:
    with Plan(JoinNamespaces(box.pid, CLONE.NEWUTS)).fork() as child:
        child.run()
        assert Namespaces.of(child.pid) - Namespaces.of() == {NamespaceType.UTS}


def test_joining_a_process_that_has_ended_is_told(box: Child) -> None:
    pid = box.pid
    box.stop()
    late = Plan(JoinNamespaces(pid)).fork()
    with late as child, pytest.raises(SyscallError, match="ESRCH"):
        child.run()


def test_the_comparison_is_a_table_without_numbers(box: Child) -> None:
    table = Namespaces.of(box.pid).compared(Namespaces.of())
    assert table.splitlines()[0] == "mount    differs"
    assert "user     shared" in table
    assert not any(character.isdigit() for character in table)
    assert repr(Namespaces.of()).startswith("Namespaces(mount, pid, network")


def changes_the_clock(linux: Linux) -> None:
    """Begin a new time namespace a day later."""
    linux.write_file("/proc/self/timens_offsets", "boottime 86400 0")


def test_a_time_namespace_has_a_clock_of_its_own(host: Host) -> None:
    need("time-namespace", NamespaceType.TIME in host.privilege.kinds, "none here")
    plan = Plan(Unshare(CLONE.NEWTIME), step(changes_the_clock), Fork())
    with plan.fork() as child:
        child.run()
        inside = float(child.exec(["cat", "/proc/uptime"]).stdout.split()[0])
        outside = float(Path("/proc/uptime").read_text().split()[0])
        assert 86_000 < inside - outside < 87_000

"""A limit is real: Linux kills, throttles, refuses and freezes, and counts that it did.

These run with the version that limits on this machine; test_cgroups_v2.py has the rest.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit import loads, state
from labkit.errors import (
    AlreadyThere,
    Busy,
    HostError,
    LimitReached,
    NoSuchPath,
    StateError,
    SyscallError,
)
from labkit.host import Host
from labkit.linux import CLONE, Linux, NamespaceType
from labkit.linux.proc import cgroups_of
from labkit.linux.views import HostPath
from labkit.plan import Child, Plan, handle
from labkit.plan.events import Exit
from labkit.primitives.cgroups import Cgroup, IoLimit, Legacy, hierarchy_of
from labkit.primitives.cgroups.hierarchy import LIMITING, names_in
from labkit.primitives.idmap import BecomeRoot, WriteIdMaps
from labkit.primitives.ids import IdMapping
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Exec, Fork
from tests.kernel.ordinary_user import as_ordinary_user
from tests.support.skips import need

M = 1024**2
NAME = f"test-{os.getpid()}"
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def box(host: Host) -> Iterator[Cgroup]:
    """A group of the test's own."""
    missing = [name for name in LIMITING if not host.cgroups.usable(name)]
    need("cgroup", not missing, f"no cgroup of ours with {', '.join(missing)}")
    with Cgroup.create(NAME, host) as made:
        yield made


@pytest.fixture
def v1_box(box: Cgroup) -> Cgroup:
    """A group of cgroup v1."""
    need("cgroup-v1", isinstance(box.hierarchy, Legacy), "this machine has version 2")
    return box


@contextmanager
def running(box: Cgroup, *argv: str) -> Iterator[Child]:
    """A program that Python runs inside the group."""
    with Plan(box.join(), Exec([sys.executable, *argv])).fork() as child:
        child.run()
        yield child


def ended(box: Cgroup, *argv: str) -> tuple[Exit, str]:
    """How a program inside the group ended, and what it said."""
    with running(box, *argv) as child:
        return child.wait(60), child.output


def until(happens: Callable[[], bool], what: str, patience_s: float = 20) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + patience_s
    while not happens():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


# memory


def test_who_touches_more_than_the_limit_is_killed_and_the_cause_is_named(
    box: Cgroup,
) -> None:
    box.limit(memory="64M", swap=0)
    how, _ = ended(box, loads.path("memory"), "--mebibytes", "200")
    file = (
        "memory.limit_in_bytes" if isinstance(box.hierarchy, Legacy) else "memory.max"
    )
    assert box.cause(how) == (
        f"killed by SIGKILL: it touched more than {file} = 64 MiB; "
        "oom_kill went from 0 to 1"
    )
    assert box.snapshot().memory_peak_bytes == 64 * M


def test_the_last_line_of_a_killed_program_tells_how_far_it_came(box: Cgroup) -> None:
    box.limit(memory="64M", swap=0)
    _, said = ended(box, loads.path("memory"), "--mebibytes", "200")
    assert 40 <= int(said.splitlines()[-1].split()[1]) < 64


def test_who_stays_below_the_limit_is_left_alone(box: Cgroup) -> None:
    box.limit(memory="64M")
    how, said = ended(box, loads.path("memory"), "--mebibytes", "20")
    assert how.ok
    assert said.splitlines()[-1] == "holding 20 MiB"
    assert "no limit of its cgroup was reached" in box.cause(how)


def test_a_second_kill_is_counted_from_the_first(box: Cgroup) -> None:
    box.limit(memory="32M", swap=0)
    ended(box, loads.path("memory"), "--mebibytes", "100")
    how, _ = ended(box, loads.path("memory"), "--mebibytes", "100")
    assert box.cause(how).endswith("oom_kill went from 1 to 2")


def test_what_limit_returns_was_read_back(box: Cgroup) -> None:
    pages = 100_000_001 // os.sysconf("SC_PAGE_SIZE")
    limits = box.limit(memory=100_000_001)
    assert limits["memory"] == pages * os.sysconf("SC_PAGE_SIZE")
    assert box.limit(memory=None)["memory"] is None


def test_a_limit_moves_while_the_process_runs(box: Cgroup) -> None:
    box.limit(memory="400M", swap=0)
    slowly = ("--mebibytes", "300", "--per-second", "100")
    with running(box, loads.path("memory"), *slowly) as child:
        until(lambda: box.snapshot().memory_bytes > 40 * M, "touching memory")
        box.limit(memory="120M")
        how = child.wait(30)
    assert "= 120 MiB; oom_kill went from 0 to 1" in box.cause(how)


def test_v1_refuses_a_limit_below_what_is_used(v1_box: Cgroup) -> None:
    with running(v1_box, loads.path("memory"), "--mebibytes", "50", "--hold", "60"):
        until(lambda: v1_box.snapshot().memory_bytes > 50 * M, "touching memory")
        with pytest.raises(Busy) as refused:
            v1_box.limit(memory="20M")
    call, meaning, remedy = str(refused.value).splitlines()
    assert call.endswith('memory.limit_in_bytes", "20971520"): EBUSY')
    assert "uses more than this already" in meaning
    assert "choose a higher limit" in remedy
    assert v1_box.limits["memory"] is None


def test_v2_takes_a_limit_below_what_is_used_and_kills(box: Cgroup) -> None:
    need(
        "cgroup-v2", not isinstance(box.hierarchy, Legacy), "this machine limits by v1"
    )
    with running(
        box, loads.path("memory"), "--mebibytes", "50", "--hold", "60"
    ) as child:
        until(lambda: box.snapshot().memory_bytes > 50 * M, "touching memory")
        box.limit(memory="20M", swap=0)
        assert "oom_kill went from 0 to 1" in box.cause(child.wait(30))


# CPU


def test_a_cpu_limit_throttles_and_counts_it(box: Cgroup) -> None:
    assert box.limit(cpu=0.2)["cpu"] == 0.2
    before = box.snapshot()
    ended(box, loads.path("cpu"), "--seconds", "1")
    change = box.snapshot() - before
    assert change.cpu_throttled_periods >= 5
    assert change.cpus < 0.4


def test_without_a_cpu_limit_nothing_is_throttled(box: Cgroup) -> None:
    before = box.snapshot()
    ended(box, loads.path("cpu"), "--seconds", "0.3")
    assert (box.snapshot() - before).cpu_throttled_periods == 0
    assert (box.snapshot() - before).cpu_usage_us > 50_000


def test_a_weight_is_read_back(box: Cgroup) -> None:
    assert box.limit(weight=50)["weight"] == 50


# processes


def test_a_fork_at_the_limit_is_refused_with_eagain(box: Cgroup) -> None:
    box.limit(pids=1)
    with Plan(box.join(), Fork()).fork() as child:
        child.next()
        with pytest.raises(LimitReached, match="fork.*EAGAIN"):
            child.next()
    assert box.snapshot().pids_refused == 1
    assert box.cause(Exit(1)).endswith("refused with EAGAIN, at pids.max = 1")


def test_a_fork_bomb_stops_at_the_limit(box: Cgroup) -> None:
    box.limit(pids=16)
    with running(box, loads.path("processes"), "--seconds", "30") as child:
        until(lambda: box.snapshot().pids_refused > 20, "refusing forks")
        # A fork that will be refused is counted for an instant.
        assert box.snapshot().pids in (16, 17)
        box.kill()
        assert child.wait(10).signal == "SIGKILL"
    assert box.pids() == ()


def test_a_fork_bomb_does_not_start_without_a_limit(box: Cgroup) -> None:
    how, said = ended(box, loads.path("processes"))
    assert how.code == 1
    assert said.startswith("refused: this cgroup has no pids limit")


def test_a_fork_bomb_ends_with_its_first_process(box: Cgroup) -> None:
    box.limit(pids=16)
    with running(box, loads.path("processes"), "--seconds", "30") as child:
        until(lambda: box.snapshot().pids > 4, "forking")
        os.kill(child.pid, signal.SIGKILL)
        until(lambda: box.pids() == (), "the end of the others")


# I/O


@pytest.fixture
def disk(box: Cgroup) -> HostPath:
    """A directory on a disk that takes a limit."""
    path = state.directory()
    try:
        box.limit(io=IoLimit.on(path, write="100M"))
    except (HostError, SyscallError) as refused:
        pytest.skip(f"disk: the state's disk takes no I/O limit: {refused.message}")
    return path


def test_writing_is_slowed_to_the_limit_and_counted(box: Cgroup, disk: str) -> None:
    [limit] = box.limit(io=IoLimit.on(disk, write="4M"))["io"]  # type: ignore[misc,union-attr]
    assert limit == IoLimit.on(disk, write=4 * M)
    before = box.snapshot()
    ended(box, loads.path("disk"), "--directory", disk, "--seconds", "2")
    change = box.snapshot() - before
    assert 1 * M < change.io_written_bytes / change.seconds < 6 * M


def test_an_io_limit_is_lifted_by_one_without_numbers(box: Cgroup, disk: str) -> None:
    assert box.limit(io=IoLimit.on(disk))["io"] == ()


def test_a_disk_that_is_not_there_cannot_be_limited(box: Cgroup) -> None:
    with pytest.raises(SyscallError, match="ENODEV\nLinux limits whole disks"):
        box.limit(io=IoLimit("4095:0", write=M))


# freeze and kill


def test_a_frozen_process_stops_and_goes_on_when_thawed(box: Cgroup) -> None:
    with running(box, loads.path("cpu"), "--seconds", "60"):
        until(lambda: box.snapshot().cpu_usage_us > 10_000, "computing")
        box.freeze()
        frozen = box.snapshot()
        time.sleep(0.3)
        assert frozen.frozen
        assert box.snapshot().cpu_usage_us == frozen.cpu_usage_us
        box.thaw()
        until(lambda: box.snapshot().cpu_usage_us > frozen.cpu_usage_us, "going on")
        assert not box.snapshot().frozen


def test_a_frozen_process_is_killed_all_the_same(box: Cgroup) -> None:
    with running(box, loads.path("cpu"), "--seconds", "60") as child:
        box.freeze()
        box.kill()
        assert "the whole cgroup was killed" in box.cause(child.wait(10))
    assert box.pids() == ()


def test_a_kill_by_somebody_else_is_called_that(box: Cgroup) -> None:
    with running(box, "-c", SLEEP) as child:
        os.kill(child.pid, signal.SIGKILL)
        assert "somebody sent it" in box.cause(child.wait(10))


# attach and join


def test_what_a_member_starts_is_born_in_the_group(box: Cgroup) -> None:
    with Plan(box.join(), Fork()).fork() as child:
        child.run()
        assert child.pid in box.pids()
        paths = cgroups_of(child.pid)
    controllers = ["memory", "cpu", "pids", "freezer"]
    in_v1 = isinstance(box.hierarchy, Legacy)
    assert {paths[name if in_v1 else ""] for name in controllers} == {f"/labkit-{NAME}"}


def test_a_process_is_attached_from_outside(box: Cgroup) -> None:
    with Plan().fork() as child:
        assert box.pids() == ()
        box.attach(child.pid)
        assert box.pids() == (child.pid,)


def test_a_process_that_has_ended_cannot_be_attached(box: Cgroup) -> None:
    with Plan().fork() as child:
        pid = child.pid
    with pytest.raises(SyscallError, match="ESRCH\nthere is no process with that pid"):
        box.attach(pid)


def inside_after(plan: Plan, box: Cgroup) -> str:
    """What the inside's own /proc says about its cgroup."""
    with plan.fork(unchecked=True) as child:
        child.run()
        controller = "memory" if isinstance(box.hierarchy, Legacy) else ""
        said = child.exec(["cat", "/proc/self/cgroup"]).stdout
    rows = (line.split(":", 2) for line in said.splitlines())
    return next(path for _, names, path in rows if controller in names.split(","))


def test_a_cgroup_namespace_begins_where_the_process_is(box: Cgroup) -> None:
    new = Unshare(CLONE.NEWCGROUP)
    assert inside_after(Plan(box.join(), new), box) == "/"
    assert inside_after(Plan(new, box.join()), box) != "/"


def test_after_its_user_namespace_the_group_is_not_its_own(
    box: Cgroup, as_root: None, host: Host
) -> None:
    need("namespaces", NamespaceType.USER in host.privilege.kinds, "no user namespaces")
    maps = (IdMapping(0, 100_000, 1),)  # type: ignore[arg-type]
    steps = (WriteIdMaps(maps, maps), BecomeRoot())
    late = Plan(Unshare(CLONE.NEWUSER), *steps, box.join())
    refused = pytest.raises(PermissionError, match="EACCES\nthis cgroup isn't yours")
    with late.fork(unchecked=True) as child, refused:
        child.run()


# the handle


def test_removing_ends_what_is_inside_and_may_be_done_twice(host: Host) -> None:
    box = Cgroup.create(NAME, host)
    with running(box, "-c", SLEEP) as child:
        box.remove()
        assert child.wait(10).signal == "SIGKILL"
    box.remove()
    assert NAME not in names_in(box.hierarchy)
    assert not any(record.name == NAME for record in handle.records())


def test_groups_that_were_made_inside_it_go_first(box: Cgroup) -> None:
    for directory in box.hierarchy.directories(NAME):
        os.makedirs(f"{directory}/inner/innermost")
    box.remove()
    assert NAME not in names_in(box.hierarchy)


def test_a_busy_group_says_what_holds_it(box: Cgroup) -> None:
    with Plan().fork() as child:
        box.attach(child.pid)
        with pytest.raises(Busy, match="EBUSY\nthe cgroup still holds processes"):
            Linux().rmdir(box.path())


def test_running_a_cell_again_replaces_its_group(box: Cgroup, host: Host) -> None:
    box.limit(pids=7)
    with Plan().fork() as child:
        box.attach(child.pid)
        again = Cgroup.create(NAME, host)
        assert child.wait(10).signal == "SIGKILL"
    assert again.pids() == ()
    assert again.limits["pids"] is None
    again.remove()


def test_a_group_without_a_record_is_not_taken(box: Cgroup, host: Host) -> None:
    [record] = [one for one in handle.records() if one.name == NAME]
    record.forget()  # as if another state directory had made it
    with pytest.raises(AlreadyThere):
        Cgroup.create(NAME, host)
    assert NAME in names_in(box.hierarchy)
    assert not any(record.name == NAME for record in handle.records())


def test_a_missing_file_is_told_apart_from_a_wrong_name(box: Cgroup) -> None:
    with pytest.raises(NoSuchPath, match="doesn't have that controller or file"):
        box.read("memory.nonsense")


@contextmanager
def other_notebook(host: Host) -> Iterator[int]:
    """Another process that owns the group's name, as a second notebook would."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        Cgroup.create(NAME, host)
        os.write(tell, b"!")
        time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(tell)


def test_another_notebooks_group_is_left_alone(host: Host) -> None:
    with other_notebook(host):
        with pytest.raises(StateError, match="belongs to another running notebook"):
            Cgroup.create(NAME, host)
        assert NAME in names_in(hierarchy_of(host))
    Cgroup.create(NAME, host).remove()


def test_who_is_killed_leaves_a_record_by_which_its_group_is_removed(
    host: Host,
) -> None:
    with other_notebook(host):
        pass
    [record] = [one for one in handle.records() if one.name == NAME]
    assert not record.owner_alive
    Cgroup.of_record(record).remove()
    assert NAME not in names_in(hierarchy_of(host))


def test_every_group_with_the_prefix_is_found(box: Cgroup, host: Host) -> None:
    assert NAME in [found.name for found in Cgroup.all(host)]


# what else Linux says


def test_a_value_that_linux_does_not_take_is_said_to_be_one(box: Cgroup) -> None:
    file = f"{box.path('pids')}/pids.max"
    with pytest.raises(SyscallError, match="EINVAL\nLinux doesn't take this value"):
        Linux().write_file(file, "many")


def test_an_ordinary_user_may_make_no_group_in_the_hosts_tree(
    box: Cgroup, as_root: None
) -> None:
    tree = os.path.dirname(box.path())
    said = as_ordinary_user(lambda: Linux().mkdir(f"{tree}/labkit-mine"))
    assert "EACCES\nthis cgroup isn't yours" in said


def test_a_new_cpuset_takes_nobody_until_it_is_filled(host: Host) -> None:
    found = host.cgroups.controller("cpuset")
    v1 = found is not None and found.version == 1 and found.parent
    need("cgroup-v1", v1, "there is no cpuset of version 1")
    empty = Path(str(v1), f"labkit-{NAME}")
    empty.mkdir()
    try:
        refused = pytest.raises(LimitReached, match="ENOSPC\nthis cpuset has no CPUs")
        with Plan().fork() as child, refused:
            Linux().write_file(f"{empty}/cgroup.procs", str(child.pid))
    finally:
        empty.rmdir()


def test_a_cpuset_that_shares_a_tree_is_filled(host: Host) -> None:
    found = host.cgroups.controller("cpuset")
    v1 = found is not None and found.version == 1 and found.parent
    need("cgroup-v1", v1, "there is no cpuset of version 1")
    cpusets = Legacy((("cpu", HostPath(str(v1))),))
    cpusets.make(Linux(), NAME)
    with Plan().fork() as child, Cgroup(NAME, cpusets) as box:
        box.attach(child.pid)
        assert box.pids() == (child.pid,)

"""A launched plan becomes a program, waits at its gate, or leaves nothing."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from labkit.errors import LabError, NoSuchPath, StateError, StepFailed
from labkit.host import Host
from labkit.linux import CLONE, HostPath, Linux
from labkit.linux.flags import PR
from labkit.plan import Event, Plan, step
from labkit.plan.launch import Launched, launch
from labkit.primitives.cgroups import Cgroup, Unified
from labkit.primitives.cgroups.hierarchy import PREFIX
from labkit.primitives.clone import CatchUp, Clone, PutIntoCgroup
from labkit.primitives.namespaces import SetHostname, Unshare
from labkit.primitives.parent_death import EndWithParent
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir
from labkit.primitives.start_gate import AwaitStart
from labkit.runtime import start_gate
from tests.kernel.watching import becomes_true, children_of, is_gone, open_files
from tests.support.skips import need

SLEEP = Exec(["sleep", "1000"])


@contextmanager
def in_a_process(work: Callable[[], object]) -> Iterator[int]:
    """Do some work in a forked process, which ends by _exit: 0 when all went well."""
    pid = os.fork()
    if pid == 0:
        leave_after(work)
    try:
        yield pid
    finally:
        if not is_gone(pid):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def leave_after(work: Callable[[], object]) -> NoReturn:
    """Do the work as the test's own process would; leave without pytest's clean-up."""
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def exit_code(launched: Launched) -> int:
    """Wait for the program; return its code."""
    code = os.waitstatus_to_exitcode(os.waitpid(launched.pid, 0)[1])
    launched.close()
    return code


def test_a_program_sits_there_when_it_returns() -> None:
    launched = launch(Plan(Chdir("/"), SLEEP))
    assert Path(f"/proc/{launched.pid}/comm").read_text() == "sleep\n"
    launched.kill()


def test_the_program_ends_as_it_likes() -> None:
    assert exit_code(launch(Plan(Exec(["sh", "-c", "exit 7"])))) == 7


def test_nothing_of_it_is_left_when_it_is_killed() -> None:
    before = open_files()
    launched = launch(Plan(SLEEP))
    launched.kill()
    assert is_gone(launched.pid) and not children_of(os.getpid())
    assert open_files() == before


def test_what_a_step_raised_is_raised_here_and_nothing_is_left() -> None:
    before = open_files()
    with pytest.raises(NoSuchPath, match=r'chdir\("/no/such"\): ENOENT') as refused:
        launch(Plan(Chdir("/"), Chdir("/no/such"), SLEEP))
    assert refused.value.step == "go to /no/such"
    assert not children_of(os.getpid()) and open_files() == before


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(NoSuchPath, match="execve"):
        launch(Plan(Exec(["/no/such/program"])))
    assert not children_of(os.getpid())


def test_a_bug_in_a_learners_step_is_told() -> None:
    def divides(linux: Linux) -> None:
        print(1 / 0)

    with pytest.raises(StepFailed, match="ZeroDivisionError"):
        launch(Plan(step(divides), SLEEP))


def test_a_death_without_a_word_is_told() -> None:
    def dies(linux: Linux) -> None:
        linux.kill(linux.getpid(), signal.SIGKILL)

    with pytest.raises(LabError, match="died in or after: dies"):
        launch(Plan(step(dies), SLEEP))


def test_every_step_has_its_event_with_its_calls() -> None:
    events: list[Event] = []
    plan = Plan(Chdir("/"), Chdir("/proc"), Exec(["true"]))
    assert exit_code(launch(plan, subscriber=events.append)) == 0
    assert [event.index for event in events] == [0, 1, 2]
    assert [event.calls[0].name for event in events] == ["chdir", "chdir", "execve"]


def test_the_inside_gets_its_three_descriptors_and_nothing_of_ours() -> None:
    ours = {int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(fd)}
    read_fd, write_fd = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    command = ["sh", "-c", "echo /proc/self/fd/*"]
    assert exit_code(launch(Plan(Exec(command)), stdio=(null, write_fd, null))) == 0
    said = os.read(read_fd, 4096).decode().split()
    there = {int(name.rpartition("/")[2]) for name in said}
    assert not there & ({read_fd, write_fd, null} - ours)
    for fd in (read_fd, write_fd, null):
        os.close(fd)


def test_a_launcher_that_dies_takes_the_inside_along() -> None:
    def launches() -> None:
        launch(Plan(Chdir("/"), SLEEP), until=Exec)
        time.sleep(60)

    with in_a_process(launches) as pid:
        assert becomes_true(lambda: names_of(children_of(pid)) == ["labkit:inside"])
        inside = children_of(pid)[0]
        os.kill(pid, signal.SIGKILL)
        assert becomes_true(lambda: is_gone(inside))


def test_left_alone_it_outlives_its_launcher() -> None:
    read_fd, write_fd = os.pipe()

    def launches() -> None:
        launched = launch(Plan(Chdir("/"), SLEEP), until=Exec)
        launched.leave()
        os.write(write_fd, f"{launched.pid}".encode())

    with in_a_process(launches):
        inside = int(os.read(read_fd, 32))
    assert becomes_true(lambda: names_of([inside]) == ["sleep"])
    os.kill(inside, signal.SIGKILL)
    for fd in (read_fd, write_fd):
        os.close(fd)


def test_followed_it_becomes_the_program() -> None:
    launched = launch(Plan(Chdir("/"), SLEEP), until=Exec)
    assert names_of([launched.pid]) == ["labkit:inside"]
    launched.follow()
    assert names_of([launched.pid]) == ["sleep"]
    launched.kill()


@pytest.mark.usefixtures("as_root")
def test_after_a_fork_the_new_process_has_the_seat() -> None:
    new = Unshare(CLONE.NEWPID | CLONE.NEWUTS)
    plan = Plan(new, SetHostname("box"), Fork(), SLEEP)
    assert succeeds(lambda: as_subreaper(plan))


def as_subreaper(plan: Plan) -> None:
    """Launch as a container's monitor does; the orphan comes to it."""
    Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)
    launched = launch(plan)
    status = Path(f"/proc/{launched.pid}/status").read_text()
    assert f"NSpid:\t{launched.pid}\t1\n" in status
    assert children_of(os.getpid()) == [launched.pid]
    launched.kill()
    assert children_of(os.getpid()) == []


class LingeringFork(Fork):
    """Fork; the old process takes its time to leave."""

    def apply(self, linux: Linux) -> int | None:
        pid = super().apply(linux)
        if pid:
            time.sleep(0.3)
        return pid


def test_who_forks_under_a_monitor_ends_with_that_and_not_with_the_process_before() -> (
    None
):
    # As tied() has it: the inside is the launcher's sibling, and forks once more.
    again = [LingeringFork(), CatchUp(), EndWithParent()]
    plan = Plan(Clone(CLONE.PARENT), *again, SLEEP)

    def monitors() -> None:
        Linux(forked=True).prctl(PR.SET_CHILD_SUBREAPER, 1)
        assert succeeds(lambda: launch(plan))
        (inside,) = (pid for pid in children_of(os.getpid()) if not is_gone(pid))
        assert names_of([inside]) == ["sleep"]
        os.kill(inside, signal.SIGKILL)

    assert succeeds(monitors)


class TestTheStartGate:
    """What is made by one process is started by another, or never."""

    def test_it_waits_until_the_gate_is_opened(self, tmp_path: Path) -> None:
        launched = at_its_gate(tmp_path, Exec(["sh", "-c", "exit 5"]))
        assert start_gate.is_closed(str(tmp_path))
        assert names_of([launched.pid]) == ["labkit:inside"]
        start_gate.open_gate(str(tmp_path))
        assert exit_code(launched) == 5
        assert list(tmp_path.iterdir()) == []

    def test_who_opens_it_hears_why_a_later_step_failed(self, tmp_path: Path) -> None:
        launched = at_its_gate(tmp_path, Exec(["/no/such/program"]))
        with pytest.raises(NoSuchPath, match="execve"):
            start_gate.open_gate(str(tmp_path))
        assert exit_code(launched) == 1

    def test_it_is_opened_once(self, tmp_path: Path) -> None:
        launched = at_its_gate(tmp_path, SLEEP)
        start_gate.open_gate(str(tmp_path))
        with pytest.raises(StateError, match="doesn't wait"):
            start_gate.open_gate(str(tmp_path))
        launched.kill()

    def test_one_that_is_never_started_can_be_ended(self, tmp_path: Path) -> None:
        launched = at_its_gate(tmp_path, SLEEP)
        os.kill(launched.pid, signal.SIGKILL)
        assert exit_code(launched) == -signal.SIGKILL
        with pytest.raises(StateError, match="doesn't wait"):
            start_gate.open_gate(str(tmp_path))

    def test_a_gate_that_was_never_made_is_no_gate(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="doesn't wait"):
            start_gate.open_gate(str(tmp_path))


def at_its_gate(directory: Path, last: Exec) -> Launched:
    """Launch a plan up to its gate, as `create` does, and leave it there."""
    gate = start_gate.make(str(directory))
    plan = Plan(Chdir("/"), AwaitStart(gate.start_fd, gate.answer_fd), last)
    launched = launch(plan, until=AwaitStart)
    launched.leave()
    gate.close()
    return launched


def succeeds(work: Callable[[], object]) -> bool:
    """Do some work in a process of its own; say whether all went well."""
    with in_a_process(work) as pid:
        how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return how is not None and (how.si_code, how.si_status) == (os.CLD_EXITED, 0)


def names_of(pids: list[int]) -> list[str]:
    """Return the names of some processes, as ps shows them."""
    return [Path(f"/proc/{pid}/comm").read_text().rstrip() for pid in pids]


@pytest.mark.usefixtures("as_root")
class TestClone:
    """One step instead of two: the inside is born in its namespaces."""

    def test_it_needs_no_process_in_between(self) -> None:
        plan = Plan(Clone(CLONE.NEWPID | CLONE.NEWUTS), SetHostname("box"), SLEEP)
        plan.check()
        launched = launch(plan)
        status = Path(f"/proc/{launched.pid}/status").read_text()
        assert f"NSpid:\t{launched.pid}\t1\n" in status
        assert children_of(os.getpid()) == [launched.pid]
        launched.kill()

    def test_after_other_steps_it_forks_like_any_other(self) -> None:
        plan = Plan(Chdir("/proc"), Clone(CLONE.NEWPID), SLEEP)
        assert succeeds(lambda: as_subreaper(plan))

    def test_its_calls_are_told(self) -> None:
        events: list[Event] = []
        plan = Plan(Clone(CLONE.NEWUTS), SetHostname("box"), Exec(["true"]))
        assert exit_code(launch(plan, subscriber=events.append)) == 0
        assert [event.calls[0].name for event in events] == [
            "clone3",
            "sethostname",
            "execve",
        ]

    def test_the_outside_moves_it_while_it_goes_on(self, group: Cgroup) -> None:
        directories = group.hierarchy.directories(group.name)
        plan = Plan(Clone(CLONE.NEWPID), PutIntoCgroup("box", directories), SLEEP)
        launched = launch(plan)
        assert group.pids() == (launched.pid,)
        launched.kill()

    def test_its_cgroup_namespace_begins_where_it_was_put(self, group: Cgroup) -> None:
        directories = group.hierarchy.directories(group.name)
        join = PutIntoCgroup("box", directories), CatchUp(), Unshare(CLONE.NEWCGROUP)
        read_fd, write_fd = os.pipe()
        plan = Plan(Clone(CLONE.NEWPID), *join, Exec(["cat", "/proc/self/cgroup"]))
        assert exit_code(launch(plan, stdio=(write_fd, write_fd, write_fd))) == 0
        said = os.read(read_fd, 65536).decode()
        assert PREFIX not in said and ":/\n" in said
        os.close(read_fd)
        os.close(write_fd)

    def test_a_move_that_fails_ends_it(self) -> None:
        nowhere = PutIntoCgroup("box", (HostPath("/no/such/group"),))
        with pytest.raises(NoSuchPath, match="/no/such/group"):
            launch(Plan(Clone(CLONE.NEWPID), nowhere, SLEEP))
        assert not children_of(os.getpid())

    def test_version_2_makes_it_in_its_cgroup(self, group: Cgroup) -> None:
        there = isinstance(group.hierarchy, Unified)
        need("cgroup-v2", there, "the controllers are version 1 here")
        directory = group.hierarchy.directories(group.name)[0]
        launched = launch(Plan(Clone(CLONE.NEWPID, directory), SLEEP))
        assert group.pids() == (launched.pid,)
        launched.kill()

    @pytest.fixture
    def group(self, host: Host) -> Iterator[Cgroup]:
        with Cgroup.create("launched", host) as made:
            yield made

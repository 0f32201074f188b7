"""Whoever is killed, notebook, outside or inside: the whole family ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import ChildLost, LabError, StateError
from labkit.linux import CLONE, Linux
from labkit.plan import Child, Plan, step
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir
from tests.kernel.watching import becomes_true, children_of, is_gone
from tests.support.skips import need

NOTEBOOK = """
import os, sys, time
from labkit.plan import Plan, step
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir

def parked(linux): pass
def starts_a_program(linux):
    if linux.fork() == 0:
        linux.execve("/bin/sleep", ["sleep", "60"], {})
def hangs(linux):
    time.sleep(60)

PLANS = {
    "parked": Plan(Chdir("/")),
    "a program": Plan(Exec(["sleep", "60"])),
    "a program with children": Plan(Exec(["sh", "-c", "sleep 60 & sleep 60 & wait"])),
    "forked": Plan(Fork(), step(starts_a_program)),
}
child = PLANS[sys.argv[1]].fork()
child.run()
time.sleep(0.2)
print(child.pid, *sys.argv[2:], flush=True)
time.sleep(60)
"""


@pytest.fixture
def notebook() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that play the notebook; the test kills them."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for one in started:
        one.kill()
        one.communicate()


def start(kind: str, started: list[subprocess.Popen[str]]) -> tuple[int, list[int]]:
    """Start a notebook with a child; return its pid and its family's, when all live."""
    argv = [sys.executable, "-c", NOTEBOOK, kind]
    one = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    started.append(one)
    assert one.stdout is not None
    one.stdout.readline()
    return one.pid, descendants(one.pid)


def descendants(pid: int) -> list[int]:
    """Return the pids of all below a process."""
    below = children_of(pid)
    return below + [one for child in below for one in descendants(child)]


KINDS = ["parked", "a program", "a program with children", "forked"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_notebooks_family_ends(
    kind: str, notebook: list[subprocess.Popen[str]]
) -> None:
    pid, family = start(kind, notebook)
    assert len(family) >= 2
    os.kill(pid, signal.SIGKILL)
    assert becomes_true(lambda: all(map(is_gone, family)))


def test_a_notebook_that_ends_by_itself_takes_its_family_along() -> None:
    program = NOTEBOOK.rpartition("time.sleep(60)")[0]
    program += "print(child._processes._record.path)"
    done = subprocess.run(
        [sys.executable, "-c", program, "parked"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    pid, record = done.stdout.split()
    assert is_gone(int(pid))
    assert not Path(record).exists()


@pytest.mark.parametrize(
    "plan",
    [
        Plan(Chdir("/")),
        Plan(Exec(["sleep", "60"])),
        Plan(Exec(["sh", "-c", "sleep 60 & wait"])),
    ],
    ids=["parked", "a program", "a program with children"],
)
def test_stopping_ends_the_family_of_a_killed_outside(plan: Plan) -> None:
    with plan.fork() as child:
        child.run()
        time.sleep(0.1)
        family = descendants(os.getpid())
        os.kill(outside_of(child), signal.SIGKILL)
        child.stop()
        assert all(map(is_gone, family))


def outside_of(child: Child) -> int:
    """Return the pid of the inside's parent."""
    stat = Path(f"/proc/{child.pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def test_a_killed_outside_is_told_as_lost() -> None:
    with Plan(Chdir("/")).fork() as child:
        os.kill(outside_of(child), signal.SIGKILL)
        with pytest.raises(ChildLost):
            child.next()
        assert not child.running


def test_a_fork_bomb_without_a_cgroup_ends_with_the_child() -> None:
    script = (
        "i=0; while [ $i -lt 40 ]; do (sleep 60; sleep 60) & i=$((i+1)); done; wait"
    )
    with Plan(Exec(["sh", "-c", script])).fork() as child:
        child.run()
        assert becomes_true(lambda: len(descendants(os.getpid())) > 80)
        family = descendants(os.getpid())
    assert all(map(is_gone, family))


def test_orphans_inside_are_ended_too() -> None:
    with Plan(Chdir("/")).fork() as child:
        said = child.exec(["sh", "-c", "(setsid sleep 60 & echo $!) ; true"]).stdout
        orphan = int(said)
        assert not is_gone(orphan)
    assert becomes_true(lambda: is_gone(orphan))


def test_zombies_of_orphans_are_taken_by_the_outside() -> None:
    with Plan(Chdir("/")).fork() as child:
        orphan = int(child.exec(["sh", "-c", "(sleep 0.1 & echo $!); true"]).stdout)
        assert becomes_true(lambda: not Path(f"/proc/{orphan}").exists())


@pytest.mark.usefixtures("as_root")
def test_the_end_of_pid_1_is_the_end_of_its_namespace() -> None:
    def starts(linux: Linux) -> None:
        if linux.fork() == 0:
            linux.execve("/bin/sleep", ["sleep", "60"], {})

    with Plan(Unshare(CLONE.NEWPID), Fork(), step(starts)).fork() as child:
        child.run()
        [program] = children_of(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        assert becomes_true(lambda: is_gone(program))


@pytest.mark.usefixtures("as_root")
def test_pid_1_cannot_hand_its_seat_over() -> None:
    plan = Plan(Unshare(CLONE.NEWPID), Fork(), Fork())
    with plan.fork() as child, pytest.raises(ChildLost):
        child.run()


@pytest.fixture
def freezer(as_root: None) -> Iterator[Path]:
    """A cgroup v1 in which processes can be frozen: frozen, they can't even die."""
    top = Path("/sys/fs/cgroup/freezer")
    need("freezer", top.is_dir(), "this machine has no v1 freezer")
    group = top / f"labkit-frozen-{os.getpid()}"
    (group / "inner").mkdir(parents=True)
    yield group
    freezes(group, "THAWED")
    assert becomes_true(lambda: not (group / "inner" / "cgroup.procs").read_text())
    (group / "inner").rmdir()
    group.rmdir()


def freezes(group: Path, word: str = "FROZEN") -> None:
    """Freeze or thaw a group."""
    (group / "freezer.state").write_text(word)
    assert becomes_true(lambda: (group / "freezer.state").read_text() == f"{word}\n")


def joins(group: Path, child: Child) -> None:
    """Put the inside of a child into a group."""
    (group / "cgroup.procs").write_text(str(child.pid))


def test_a_frozen_child_is_thawed_to_die(freezer: Path) -> None:
    with Plan(Chdir("/")).fork() as child:
        joins(freezer, child)
        freezes(freezer)
    assert is_gone(child.pid)


def test_a_frozen_child_of_a_killed_outside_is_thawed_too(freezer: Path) -> None:
    with Plan(Chdir("/")).fork() as child:
        joins(freezer, child)
        os.kill(outside_of(child), signal.SIGKILL)
        freezes(freezer)
    assert is_gone(child.pid)


def test_a_child_that_cannot_die_is_told_instead_of_waited_for(freezer: Path) -> None:
    child = Plan(Chdir("/")).fork()
    joins(freezer / "inner", child)
    freezes(freezer)  # thawing the inner group is no use
    with pytest.raises(StateError, match="a process of it can't end"):
        child.stop()
    freezes(freezer, "THAWED")
    assert becomes_true(lambda: is_gone(child.pid))


def test_a_child_that_cannot_die_does_not_hide_the_first_error(freezer: Path) -> None:
    child = Plan(Chdir("/")).fork()
    with pytest.raises(LabError, match="first") as raised, child:
        joins(freezer / "inner", child)
        freezes(freezer)
        raise LabError("first")
    assert "could not be ended" in raised.value.__notes__[0]

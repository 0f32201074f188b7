"""An interrupt in the middle keeps the promises, at whichever moment it comes."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator

import pytest

from labkit.errors import StateError
from labkit.linux import Linux
from labkit.plan import Child, Plan, handle, step
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir
from tests.kernel.watching import (
    becomes_true,
    children_of,
    interrupted_after,
    is_gone,
    open_files,
)


@pytest.fixture
def child() -> Iterator[Child]:
    """A parked child."""
    with Plan(Chdir("/")).fork() as one:
        yield one


def hangs(linux: Linux) -> None:
    """Never end."""
    time.sleep(60)


def test_an_interrupted_command_ends_and_the_child_stays(child: Child) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted_after(0.3):
        child.exec(["sh", "-c", "echo $$ > /dev/null; exec sleep 61"])
    assert child.exec(["pgrep", "-f", "^sleep 61$"]).stdout == ""
    assert child.exec(["echo", "still here"]).stdout == "still here\n"


def test_an_interrupted_step_ends_the_child() -> None:
    with Plan(step(hangs)).fork() as child:
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.2):
            child.next()
        assert is_gone(child.pid)
        with pytest.raises(StateError, match="this child has ended"):
            child.next()


def test_an_interrupted_wait_leaves_the_program_running() -> None:
    with Plan(Exec(["sleep", "60"])).fork() as child:
        child.run()
        with pytest.raises(KeyboardInterrupt), interrupted_after(0.2):
            child.wait()
        assert child.running


def test_an_interrupted_plan_leaves_nothing() -> None:
    before = children_of(os.getpid()), open_files(), handle.records()
    with pytest.raises(KeyboardInterrupt), interrupted_after(0.3):
        Plan(Exec(["sleep", "60"])).run()
    assert (children_of(os.getpid()), open_files(), handle.records()) == before


def test_the_signal_of_the_notebooks_group_does_not_reach_the_child(
    child: Child,
) -> None:
    assert os.getpgid(child.pid) != os.getpgid(0)
    assert os.getsid(child.pid) != os.getsid(0)


def test_commands_interrupted_at_any_moment_leave_the_talk_in_order(
    child: Child,
) -> None:
    chance = random.Random(6)
    for number in range(60):
        soon = interrupted_after(chance.uniform(0, 0.008))
        with contextlib.suppress(KeyboardInterrupt), soon:
            child.exec(["echo", "interrupted"])
        assert child.exec(["echo", f"{number}"]).stdout == f"{number}\n"


def test_steps_interrupted_at_any_moment_end_the_child_or_are_done() -> None:
    chance, plan = random.Random(6), Plan(Chdir("/"), Chdir("/proc"))
    before = children_of(os.getpid()), open_files()
    for _ in range(40):
        soon = interrupted_after(chance.uniform(0, 0.012))
        with contextlib.suppress(KeyboardInterrupt), soon, plan.fork() as child:
            child.run()
            child.exec(["true"])
    assert becomes_true(lambda: (children_of(os.getpid()), open_files()) == before)


def test_two_interrupts_in_a_row_still_leave_nothing() -> None:
    before = children_of(os.getpid())
    twice = interrupted_after(0.2), interrupted_after(0.2003)
    with pytest.raises(KeyboardInterrupt), twice[0], twice[1]:
        Plan(Exec(["sleep", "60"])).run()
    assert becomes_true(lambda: children_of(os.getpid()) == before)

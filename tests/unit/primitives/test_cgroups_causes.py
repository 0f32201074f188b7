"""Why it ended: a sentence from two readings and how it ended."""

from __future__ import annotations

import pytest

from labkit.plan.events import Exit
from labkit.primitives.cgroups.causes import cause_of
from labkit.primitives.cgroups.reading import CgroupReading

M = 1024**2
BEFORE = CgroupReading(0.0)
KILLED = Exit(None, "SIGKILL")
OOM = CgroupReading(1.0, 5 * M, 256 * M, 256 * M, oom_kills=1)


def test_a_kill_for_memory_names_the_limit_and_the_counter() -> None:
    assert cause_of(KILLED, BEFORE, OOM, "memory.max") == (
        "killed by SIGKILL: it touched more than memory.max = 256 MiB; "
        "oom_kill went from 0 to 1"
    )


def test_a_shell_that_lost_its_child_is_not_said_to_be_killed() -> None:
    said = cause_of(Exit(137), BEFORE, OOM)
    assert said.startswith("exit code 137: a process of its cgroup touched more than")


def test_memory_that_ran_out_above_is_told_apart() -> None:
    below_its_limit = CgroupReading(1.0, 5 * M, 100 * M, 256 * M, oom_kills=1)
    assert "above the cgroup" in cause_of(KILLED, BEFORE, below_its_limit)
    assert "no limit" in cause_of(KILLED, BEFORE, CgroupReading(1.0, oom_kills=1))


def test_only_what_came_in_between_counts() -> None:
    assert "somebody sent it" in cause_of(KILLED, OOM, OOM)


@pytest.mark.parametrize(("count", "words"), [(1, "a fork was"), (7, "7 forks were")])
def test_refused_forks_are_counted(count: int, words: str) -> None:
    now = CgroupReading(1.0, pids_limit=32, pids_refused=count)
    assert cause_of(Exit(1), BEFORE, now) == (
        f"exit code 1: {words} refused with EAGAIN, at pids.max = 32"
    )


def test_a_kill_of_the_whole_group_is_called_that() -> None:
    assert "the whole cgroup was killed" in cause_of(KILLED, BEFORE, BEFORE, by_us=True)


def test_an_ordinary_end_is_no_limits_work() -> None:
    assert cause_of(Exit(0), BEFORE, BEFORE, by_us=True) == (
        "exit code 0: it ended by itself; no limit of its cgroup was reached"
    )

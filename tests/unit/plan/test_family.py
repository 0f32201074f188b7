"""Only processes that still are the recorded ones are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from labkit.linux.views import HostPid
from labkit.plan.family import Family, start_time


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a session of its own, and a child in it."""
    argv = ["sh", "-c", "sleep 60 & echo; wait"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as one:
        assert one.stdout is not None
        one.stdout.readline()
        yield one
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)


def family_of(pid: int) -> Family:
    """Return a family whose outside and inside are one process."""
    return Family.of(HostPid(pid), HostPid(pid))


def test_a_family_is_everybody_in_the_session(leader: subprocess.Popen[bytes]) -> None:
    assert len(family_of(leader.pid).members()) == 2


def test_it_survives_json(leader: subprocess.Popen[bytes]) -> None:
    family = family_of(leader.pid)
    assert Family.from_json(family.to_json()) == family


def test_all_of_them_end(leader: subprocess.Popen[bytes]) -> None:
    family = family_of(leader.pid)
    members = family.members()
    assert family.end()
    assert [start_time(pid) for pid in members] == [None, None]


def test_a_killed_leaders_children_are_still_found_while_it_is_a_zombie(
    leader: subprocess.Popen[bytes],
) -> None:
    family = family_of(leader.pid)
    leader.send_signal(9)
    while start_time(leader.pid) is not None:
        pass
    assert len(family.members()) == 1
    assert family.end()


def test_a_pid_that_was_used_again_is_left_alone(
    leader: subprocess.Popen[bytes],
) -> None:
    then = (start_time(leader.pid) or 0) - 1
    pid = HostPid(leader.pid)
    assert Family(pid, then, pid, then).end()
    assert leader.poll() is None

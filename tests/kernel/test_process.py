"""Processes: fork, exec, wait, zombies and sessions, as /proc tells of them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from labkit.linux import Linux
from labkit.linux.proc import children, process
from labkit.plan import Child, Plan, step
from labkit.primitives.process import Exec, Fork
from tests.kernel.watching import becomes_true, is_gone


def starts(linux: Linux, *argv: str) -> None:
    """Start a program and wait for it, as a shell does."""
    pid = linux.fork()
    if pid == 0:
        linux.execve(argv[0], argv, {"PATH": "/usr/bin:/bin"})
    print(os.waitstatus_to_exitcode(linux.waitpid(pid)[1]))


def forgets(linux: Linux) -> None:
    """Start a program that ends at once, and don't wait for it."""
    if linux.fork() == 0:
        linux.execve("/bin/true", ["true"], {})


def takes_the_status(linux: Linux) -> None:
    """Wait for any child."""
    linux.waitpid(-1)


def test_fork_execve_and_waitpid_are_what_starting_a_program_means() -> None:
    with Plan(step(starts, "/bin/sh", "-c", "echo hello; exit 5")).fork() as child:
        [event] = child.run()
        assert child.output == "hello\n5\n"
    assert [call.name for call in event.calls] == ["fork", "waitpid"]


def test_a_child_that_nobody_waits_for_is_a_zombie_until_somebody_does() -> None:
    with Plan(step(forgets), step(takes_the_status)).fork() as child:
        child.next()
        assert becomes_true(lambda: [p.state for p in children(child.pid)] == ["Z"])
        assert repr(children(child.pid)[0]) == "Process(true, zombie)"
        child.next()
        assert children(child.pid) == ()


def test_exec_keeps_the_pid_and_changes_the_program() -> None:
    with Plan(Exec(["sleep", "60"])).fork() as child:
        assert process(child.pid).name == "labkit:inside"
        pid = child.pid
        child.run()
        assert child.pid == pid
        assert becomes_true(lambda: process(pid).argv == ("sleep", "60"))


def test_a_fork_makes_a_process_with_a_new_pid_and_the_old_one_ends() -> None:
    with Plan(Fork()).fork() as child:
        before = child.pid
        child.run()
        assert child.pid != before
        assert becomes_true(lambda: is_gone(before))


def test_the_calls_before_a_successful_exec_are_told() -> None:
    plan = Plan(Exec(["true"], {"PATH": "/no/such:/bin"}))
    with plan.fork() as child:
        [event] = child.run()
    assert [call.text.partition(",")[0] for call in event.calls] == [
        'execve("/no/such/true"',
        'execve("/bin/true"',
    ]


@pytest.fixture
def sleeping() -> Child:
    """A child that has become a program."""
    child = Plan(Exec(["sleep", "60"])).fork()
    child.run()
    return child


def sends(linux: Linux, pid: int, number: int) -> None:
    """Send a signal through a descriptor that means the process, not the number."""
    pidfd = linux.pidfd_open(pid)
    linux.pidfd_send_signal(pidfd, number)
    linux.close(pidfd)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGPIPE", "SIGHUP", "SIGXFSZ"])
def test_a_program_has_every_signal_as_linux_has_it(sleeping: Child, name: str) -> None:
    with sleeping as child:
        os.kill(child.pid, signal.Signals[name])
        assert child.wait(5).signal == name


def test_a_pidfd_reaches_the_process_that_it_was_opened_for(sleeping: Child) -> None:
    with sleeping as child, Plan(step(sends, child.pid, 15)).fork() as sender:
        sender.run()
        assert child.wait(5).signal == "SIGTERM"


def test_a_stopped_process_says_so_and_goes_on(sleeping: Child) -> None:
    with sleeping as child:
        os.kill(child.pid, signal.SIGSTOP)
        assert becomes_true(lambda: process(child.pid).state == "T")
        os.kill(child.pid, signal.SIGCONT)
        assert becomes_true(lambda: process(child.pid).state == "S")


def test_a_stopped_child_can_be_stopped_for_good(sleeping: Child) -> None:
    os.kill(sleeping.pid, signal.SIGSTOP)
    start = time.monotonic()
    sleeping.stop()
    assert time.monotonic() - start < 3

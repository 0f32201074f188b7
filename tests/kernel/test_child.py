"""A child applies a plan step by step, runs commands, and ends when it is told to."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from labkit.errors import (
    ChildLost,
    ContainerFailed,
    LabError,
    NoSuchPath,
    NotPermitted,
    StateError,
    StepFailed,
    WrongProcess,
)
from labkit.linux import Linux
from labkit.linux.flags import O
from labkit.linux.proc import process
from labkit.plan import Child, Event, Plan, step
from labkit.plan.pipes import MOST_BYTES
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import Chdir, MakeDir
from tests.kernel.watching import (
    becomes_true,
    children_of,
    is_gone,
    open_files,
)


@pytest.fixture
def child() -> Iterator[Child]:
    """A child with one step, parked before it."""
    with Plan(Chdir("/")).fork() as one:
        yield one


def nothing(linux: Linux) -> None:
    """Do nothing."""


def test_it_is_parked_before_the_first_step(child: Child) -> None:
    assert process(child.pid).name == "labkit:inside"
    assert child.events == ()
    assert repr(child) == "Child(0 of 1 steps applied)"


def test_next_applies_one_step_and_tells_its_calls(child: Child) -> None:
    event = child.next()
    assert [call.text for call in event.calls] == ['chdir("/")']
    assert event.duration_us > 0
    assert os.readlink(f"/proc/{child.pid}/cwd") == "/"


def test_run_applies_the_rest(child: Child) -> None:
    with Plan(*[Chdir("/")] * 5).fork() as five:
        five.next()
        assert len(five.run()) == 4
        assert len(five.events) == 5
        assert five.run() == ()


def test_the_notebook_stays_where_it_was(child: Child) -> None:
    before = os.getcwd()
    child.run()
    assert os.getcwd() == before


def test_what_a_step_raised_is_raised_here() -> None:
    with Plan(Chdir("/no/such")).fork() as child:
        with pytest.raises(NoSuchPath, match=r'chdir\("/no/such"\): ENOENT'):
            child.next()
        assert child.events[0].error == "ENOENT"


def test_no_step_is_applied_after_one_that_failed() -> None:
    with Plan(Chdir("/no/such"), Chdir("/")).fork() as child:
        with pytest.raises(NoSuchPath):
            child.run()
        with pytest.raises(StateError, match="step 1 failed"):
            child.next()
        assert child.exec(["true"]).exit.ok


def test_there_is_no_step_after_the_last(child: Child) -> None:
    child.run()
    with pytest.raises(StateError, match="no step is left"):
        child.next()


def test_a_bug_in_a_learners_step_is_told_with_its_place() -> None:
    def divides(linux: Linux) -> None:
        print(1 / 0)

    with Plan(step(divides)).fork() as child, pytest.raises(StepFailed) as failed:
        child.next()
    assert "ZeroDivisionError: division by zero" in failed.value.message
    assert "in divides, line" in failed.value.meaning


def test_a_step_that_leaves_python_is_told_as_a_failure() -> None:
    def leaves(linux: Linux) -> None:
        sys.exit(3)

    with Plan(step(leaves)).fork() as child:
        with pytest.raises(StepFailed, match="SystemExit: 3"):
            child.next()
        assert child.running


def test_what_a_step_prints_is_the_childs_output() -> None:
    def talks(linux: Linux) -> None:
        print("hello")
        print("half a line", end="")

    with Plan(step(talks)).fork() as child:
        child.run()
        assert child.output == "hello\nhalf a line"


def test_what_a_step_printed_before_it_became_a_program_is_not_lost() -> None:
    def becomes(linux: Linux) -> None:
        print("before")
        linux.execve("/bin/sh", ["sh", "-c", "echo after"], {})

    with Plan(step(becomes)).fork() as child:
        child.run()
        child.wait(5)
        assert child.output == "before\nafter\n"


def test_a_step_that_changes_the_working_directory_changes_it_for_the_next() -> None:
    def goes(linux: Linux) -> None:
        linux.chdir("/proc")

    def looks(linux: Linux) -> None:
        print(os.getcwd())

    with Plan(step(goes), step(looks)).fork() as child:
        child.run()
        assert child.output == "/proc\n"


def test_a_step_that_makes_a_million_calls_is_told_in_short() -> None:
    def loops(linux: Linux) -> None:
        for _ in range(20_000):
            linux.getpid()

    with Plan(step(loops)).fork() as child:
        assert child.next().calls[-1].text == "... and 10000 calls more"


def test_a_child_of_a_step_that_comes_back_is_ended_and_says_why() -> None:
    def forks(linux: Linux) -> None:
        if linux.fork():
            print(os.waitstatus_to_exitcode(linux.waitpid(-1)[1]))

    with Plan(step(forks), step(nothing)).fork() as child:
        assert len(child.run()) == 2
        assert "its child must end with execve or os._exit" in child.output
        assert child.output.endswith("\n1\n")


def test_a_child_of_a_step_that_fails_is_ended_and_says_why() -> None:
    def starts(linux: Linux) -> None:
        if linux.fork() == 0:
            linux.execve("/no/such/program", ["x"], {})
        linux.waitpid(-1)

    with Plan(step(starts), step(nothing)).fork() as child:
        assert len(child.run()) == 2
        assert 'execve("/no/such/program"' in child.output


def test_a_command_runs_inside_and_is_told_whole(child: Child) -> None:
    child.run()
    result = child.exec(["sh", "-c", "pwd; echo oops >&2; exit 3"])
    assert (result.stdout, result.stderr) == ("/\n", "oops\n")
    assert result.exit.code == 3


def test_a_command_gets_its_stdin_and_its_environment(child: Child) -> None:
    text = "line\n" * 50_000
    assert child.exec(["cat"], stdin=text).stdout == text
    assert child.exec(["env"], env={"PATH": "/usr/bin", "A": "b=c"}).stdout == (
        "PATH=/usr/bin\nA=b=c\n"
    )


def test_a_command_that_does_not_want_its_stdin_is_no_error(child: Child) -> None:
    assert child.exec(["true"], stdin="x" * 1_000_000).exit.ok


def test_a_command_may_say_much_and_what_is_no_utf8(child: Child) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377'"
    said = child.exec(["sh", "-c", script]).stdout
    assert len(said) == 3_000_001
    assert said[-1] == "\N{REPLACEMENT CHARACTER}"


def test_a_command_that_never_stops_talking_does_not_fill_the_memory(
    child: Child,
) -> None:
    script = f"head -c {2 * MOST_BYTES} /dev/zero"
    said = child.exec(["sh", "-c", script]).stdout
    assert len(said) < 1.1 * MOST_BYTES
    assert said.endswith(" bytes more")


def test_a_command_inherits_stdin_stdout_and_stderr_only(child: Child) -> None:
    said = child.exec(["sh", "-c", "echo /proc/self/fd/*"]).stdout
    opened = {int(name.rpartition("/")[2]) for name in said.split()}
    assert opened - {3} == {0, 1, 2}  # 3 is the listing's own


def test_a_command_that_does_not_exist_is_told_by_its_last_try(child: Child) -> None:
    with pytest.raises(NoSuchPath, match=r'execve\(".*/no-such-program"'):
        child.exec(["no-such-program"])


def test_a_file_that_may_not_be_executed_is_told_before_one_that_is_missing(
    child: Child,
) -> None:
    with pytest.raises(NotPermitted, match="EACCES"):
        child.exec(["passwd"], env={"PATH": "/etc:/no/such"})


@pytest.mark.parametrize("argv", ["ls -l", [], ()])
def test_a_command_is_a_list_of_words(child: Child, argv: object) -> None:
    with pytest.raises(TypeError, match="argv is a list of words"):
        child.exec(argv)  # type: ignore[arg-type]


def test_words_that_no_program_can_be_given_are_refused(child: Child) -> None:
    with pytest.raises(LabError, match="null byte"):
        child.exec(["echo", "a\0b"])
    assert child.exec(["echo", "b"]).stdout == "b\n"


def test_a_command_that_hangs_is_killed_and_the_child_stays(child: Child) -> None:
    with pytest.raises(ContainerFailed) as failed:
        child.exec(["sh", "-c", "echo $$; sleep 60"], timeout_s=1)
    assert "has not ended after 1 s" in failed.value.message
    pid = int(failed.value.meaning.split()[-1])
    assert becomes_true(lambda: is_gone(pid))
    assert child.exec(["echo", "still here"]).stdout == "still here\n"


def test_a_killed_commands_own_children_are_killed_as_well(child: Child) -> None:
    with pytest.raises(ContainerFailed) as failed:
        child.exec(["sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=1)
    pid = int(failed.value.meaning.split()[-1])
    assert becomes_true(lambda: is_gone(pid))


def test_a_job_in_the_background_does_not_hold_the_command_up(child: Child) -> None:
    start = time.monotonic()
    assert child.exec(["sh", "-c", "sleep 60 & echo started"]).stdout == "started\n"
    assert child.exec(["sh", "-c", "yes >&2 & echo again"]).stdout == "again\n"
    assert time.monotonic() - start < 30


def test_a_program_replaces_the_inside_and_its_end_is_told() -> None:
    with Plan(Exec(["sh", "-c", "echo hello; exit 4"])).fork() as child:
        [event] = child.run()
        assert event.kind == "Exec"
        assert child.wait(10).code == 4
        assert child.output == "hello\n"


def test_a_programs_signal_is_told_by_name() -> None:
    assert str(Plan(Exec(["sh", "-c", "kill -9 $$"])).run().exit) == "killed by SIGKILL"


def test_nothing_of_the_lab_is_left_in_a_program() -> None:
    said = Plan(Exec(["sh", "-c", "echo /proc/self/fd/*; env"])).run().stdout
    first, *environment = said.splitlines()
    assert {int(name.rpartition("/")[2]) for name in first.split()} - {3} == {0, 1, 2}
    assert {line.partition("=")[0] for line in environment} <= {
        "PATH", "HOME", "TERM", "PWD", "SHLVL", "_", "OLDPWD"
    }  # fmt: skip


def test_a_program_that_cannot_be_started_leaves_the_child_parked() -> None:
    with Plan(Exec(["/no/such/program"])).fork() as child:
        with pytest.raises(NoSuchPath, match="execve"):
            child.run()
        assert child.exec(["echo", "parked"]).stdout == "parked\n"


def test_no_command_and_no_step_can_follow_a_program() -> None:
    with Plan(Exec(["sleep", "60"])).fork() as child:
        child.run()
        with pytest.raises(StateError, match="another program sits in this child"):
            child.exec(["true"])


def test_waiting_too_long_says_so_and_changes_nothing() -> None:
    with Plan(Exec(["sleep", "60"])).fork() as child:
        child.run()
        with pytest.raises(ContainerFailed, match="has not ended after"):
            child.wait(0.1)
        assert child.running


def test_a_program_that_hangs_is_ended_when_its_time_is_over() -> None:
    before = children_of(os.getpid())
    with pytest.raises(ContainerFailed):
        Plan(Exec(["sleep", "60"])).run(timeout_s=0.2)
    assert children_of(os.getpid()) == before


def test_a_program_that_prints_without_end_does_not_fill_the_disk() -> None:
    with Plan(Exec(["head", "-c", "200000000", "/dev/zero"])).fork() as child:
        child.run()
        assert child.wait(30).ok
        said, told = len(child.output), "prints too much" in child.output
        assert (said < 100_000_000, told) == (True, True)


def test_a_fork_moves_the_inside_to_the_new_process() -> None:
    with Plan(Fork(), Fork()).fork() as child:
        pids = [child.pid, (child.next(), child.pid)[1], (child.next(), child.pid)[1]]
        assert len(set(pids)) == 3
        assert child.exec(["echo", "hello"]).stdout == "hello\n"
        assert becomes_true(lambda: is_gone(pids[0]) and is_gone(pids[1]))


def test_events_reach_every_subscriber_though_one_has_a_bug() -> None:
    seen: list[Event] = []

    def broken(event: Event) -> None:
        raise ValueError("a view's bug")

    with Plan(Chdir("/"), Chdir("/proc")).fork(on_event=broken) as child:
        child.subscribe(seen.append)
        with pytest.raises(ValueError, match="a view's bug"):
            child.next()
        assert tuple(seen) == child.events
        with pytest.raises(ValueError, match="a view's bug"):
            child.next()
    assert len(seen) == 2


def test_a_steps_own_error_is_not_hidden_by_a_subscribers_bug() -> None:
    def broken(event: Event) -> None:
        raise ValueError("a view's bug")

    with Plan(Chdir("/no/such")).fork(on_event=broken) as child:
        with pytest.raises(NoSuchPath) as refused:
            child.next()
        assert "a view's bug" in refused.value.__notes__[0]


def test_stopping_ends_both_processes_and_may_be_done_twice(child: Child) -> None:
    pid = child.pid
    child.stop()
    child.stop()
    assert is_gone(pid)
    assert not child.running
    with pytest.raises(StateError, match="this child has ended"):
        child.next()


def test_stopping_ends_what_commands_left_behind(child: Child) -> None:
    pid = int(child.exec(["sh", "-c", "setsid sleep 60 & echo $!"]).stdout)
    child.stop()
    assert is_gone(pid)


def test_its_output_can_be_read_after_its_end() -> None:
    with Plan(Exec(["echo", "hello"])).fork() as child:
        child.run()
        child.wait(10)
    assert child.output == "hello\n"


def test_a_child_that_nobody_refers_to_ends(child: Child) -> None:
    dropped = Plan(Chdir("/")).fork()
    pid = dropped.pid
    del dropped
    assert is_gone(pid)


def test_a_child_that_was_killed_is_told_as_lost(child: Child) -> None:
    os.kill(child.pid, 9)
    with pytest.raises(ChildLost, match="the child died in or after: go to /") as lost:
        child.next()
    assert lost.value.meaning.startswith("killed by SIGKILL; ")


def test_a_child_killed_during_a_command_is_told_as_lost(child: Child) -> None:
    with pytest.raises(ChildLost) as lost:
        child.exec(["sh", "-c", "kill -9 $PPID; sleep 60"])
    assert lost.value.meaning.startswith("killed by SIGKILL; ")


def test_a_step_that_kills_its_process_is_told_as_lost_though_a_copy_lives() -> None:
    def dies(linux: Linux) -> None:
        if linux.fork() == 0:
            time.sleep(60)
        linux.kill(linux.getpid(), 9)

    with Plan(step(dies)).fork() as child:
        with pytest.raises(ChildLost):
            child.next()
        assert str(child.wait(5)) == "killed by SIGKILL"


def test_a_child_that_ended_while_parked_can_be_waited_for(child: Child) -> None:
    os.kill(child.pid, 9)
    assert child.wait(5).signal == "SIGKILL"
    assert not child.running


def test_a_fork_in_a_background_thread_is_refused() -> None:
    errors: list[LabError] = []

    def forks() -> None:
        try:
            Plan(Chdir("/")).fork()
        except WrongProcess as refused:
            errors.append(refused)

    thread = threading.Thread(target=forks)
    thread.start()
    thread.join()
    assert "background thread" in errors[0].message


def test_a_hundred_children_leave_no_descriptor_and_no_process() -> None:
    before = open_files(), children_of(os.getpid())
    for _ in range(50):
        with Plan(MakeDir("/tmp")).fork() as child:
            child.run()
            child.exec(["true"])
        Plan(Exec(["true"])).run()
    assert (open_files(), children_of(os.getpid())) == before


def test_children_side_by_side_do_not_hold_one_another_open() -> None:
    first, second = Plan(Chdir("/")).fork(), Plan(Chdir("/")).fork()
    first.stop()  # the second one was forked later, and has no copy of its channel
    assert is_gone(first.pid)
    assert second.exec(["echo", "here"]).stdout == "here\n"
    second.stop()


def test_the_inside_has_nothing_of_the_notebooks_open() -> None:
    secret = os.open("/etc/hostname", os.O_RDONLY)
    with Plan(step(nothing)).fork() as child:
        child.run()
        folder = f"/proc/{child.pid}/fd"
        opened = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
    os.close(secret)
    assert len(opened) == 4  # stdin, stdout, stderr and the channel
    assert "/etc/hostname" not in opened


def test_files_of_a_step_are_closed_on_exec() -> None:
    def opens(linux: Linux) -> None:
        linux.open("/etc/passwd", O(0))

    with Plan(step(opens)).fork() as child:
        child.run()
        listing = child.exec(["ls", "-l", "/proc/self/fd"]).stdout
        assert "passwd" not in listing

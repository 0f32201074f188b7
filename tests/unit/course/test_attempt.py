"""Whatever a learner's function does, trying it out ends, and says what happened."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit.course.attempt import ask, attempt, is_skeleton, rehearse
from labkit.course.verdict import Failed, NotAttempted, Stage
from labkit.linux.syscalls import Linux
from labkit.plan import Plan, step

Function = Callable[..., Any]


def start(linux: Linux, code: int) -> int:
    """Do it right."""
    pid = linux.fork()
    if pid == 0:
        linux.execve("/bin/sh", ["/bin/sh", "-c", f"exit {code}"], {})
    return os.waitstatus_to_exitcode(linux.waitpid(pid)[1])


def test_a_rehearsal_shows_both_sides_of_a_fork() -> None:
    run = rehearse(start, 3)
    assert run.names == ["fork", "execve", "waitpid"]
    assert (
        run.calls[1].text
        == 'execve("/bin/sh", ["/bin/sh", "-c", "exit 3"], [0 variables])'
    )
    assert run.calls[2].text == "waitpid(2, 0)"


def test_a_rehearsal_has_no_effect() -> None:
    rehearse(lambda linux: linux.mkdir("/labkit-was-here"))
    assert not os.path.exists("/labkit-was-here")


def test_a_rehearsal_can_have_files_to_read() -> None:
    run = rehearse(
        lambda linux: linux.read_file("/proc/7/stat"), files={"/proc/7/stat": "x"}
    )
    assert run.returned == "x"


def test_a_rehearsal_survives_a_careful_child_that_leaves() -> None:
    def careful(linux: Linux) -> int:
        pid = linux.fork()
        if pid == 0:
            try:
                linux.execve("/bin/true", ["true"], {})
            finally:
                os._exit(127)
        return linux.waitpid(pid)[1]

    assert rehearse(careful).names == ["fork", "execve", "waitpid"]


def test_an_attempt_really_happens_and_the_calls_of_the_copy_are_seen() -> None:
    with attempt(start, 7) as run:
        assert run.returned == 7
        assert sorted(run.names) == ["execve", "fork", "waitpid"]
        assert os.path.exists(f"/proc/{run.pid}")
    assert not os.path.exists(f"/proc/{run.pid}")


def test_steps_of_the_lab_can_come_first() -> None:
    first = Plan(step(lambda linux: linux.chdir("/usr")))
    with attempt(lambda linux: os.getcwd(), first=first) as run:
        assert run.returned == "/usr"


def test_what_the_function_prints_stays_out_of_the_notebook(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with attempt(lambda linux: print("hello from inside")) as run:
        assert run.notes.said == "hello from inside\n"
        assert run.saw("fine").said == "hello from inside\n"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("code", [0, 5])
def test_a_function_that_leaves_says_so(code: int) -> None:
    with pytest.raises(Failed, match="the process ended inside your function"):
        run(lambda linux: os._exit(code))


def test_a_function_that_kills_itself_says_so() -> None:
    with pytest.raises(Failed, match="the process ended inside your function"):
        run(lambda linux: os.kill(os.getpid(), signal.SIGKILL))


def test_sys_exit_does_not_end_the_tests() -> None:
    with pytest.raises(Failed, match="SystemExit: 3"):
        run(lambda linux: sys.exit(3))


def test_a_mistake_names_its_line() -> None:
    def wrong(linux: Linux) -> None:
        linux.getpid()
        int("three")

    line = wrong.__code__.co_firstlineno + 2
    with pytest.raises(Failed, match=rf"ValueError: .*'three' \(line {line}\)"):
        run(wrong)


def test_a_refused_call_is_said_with_its_meaning() -> None:
    with pytest.raises(Failed, match=r'rmdir\("/nowhere"\): ENOENT: .*\(line \d+\)'):
        run(lambda linux: linux.rmdir("/nowhere"))


def test_a_function_that_execs_without_a_fork_does_not_come_back() -> None:
    with pytest.raises(Failed, match="did not come back: execve"):
        run(lambda linux: linux.execve("/bin/sleep", ["sleep", "60"], {}))


def test_a_copy_that_comes_back_does_not_go_on_as_a_second_child() -> None:
    with pytest.raises(Failed, match="came back twice"):
        run(lambda linux: linux.fork())


@pytest.mark.parametrize("try_out", ["rehearse", "attempt", "ask"])
def test_an_endless_loop_ends(try_out: str) -> None:
    def forever(*linux: Linux) -> None:
        while True:
            pass

    began = time.monotonic()
    with pytest.raises(Failed, match=r"not ended after 0\.3 seconds"):
        run(forever, try_out, seconds=0.3)
    assert time.monotonic() - began < 5


def test_a_family_that_hangs_ends_and_the_last_call_is_named() -> None:
    def hang(linux: Linux) -> None:
        pid = linux.fork()
        if pid == 0:
            if linux.fork() == 0:
                signal.pause()
            signal.pause()
        linux.waitpid(pid)

    with pytest.raises(Failed, match=r"its last call was waitpid\(\d+, 0\)"):
        run(hang, seconds=0.5)


def test_a_family_that_forks_on_and_on_ends() -> None:
    def hydra(linux: Linux) -> None:
        for _ in range(4):
            os.fork()
        while True:
            if os.fork() == 0:
                os._exit(0)
            os.wait()

    with pytest.raises(Failed, match="not ended"):
        run(hydra, seconds=0.5)


def test_a_skeleton_is_not_attempted() -> None:
    def skeleton(linux: Linux) -> None:
        """Do something."""
        raise NotImplementedError("your turn")

    def empty(linux: Linux) -> None: ...

    def documented(linux: Linux) -> None:
        """Do something."""

    assert is_skeleton(skeleton)
    for function in (skeleton, empty, documented, ..., None):
        with pytest.raises(NotAttempted, match="your turn"):
            run(function)


def test_an_answer_that_is_no_function_has_failed() -> None:
    with pytest.raises(Failed, match="no function, but 7"):
        run(7)


def test_must_says_in_which_run_it_was() -> None:
    rehearsed = rehearse(start, 3)
    with pytest.raises(Failed) as caught:
        rehearsed.must(False, "no")
    assert caught.value.stage is Stage.REHEARSAL
    assert [call.name for call in caught.value.calls] == ["fork", "execve", "waitpid"]


def test_ask_returns_the_very_value() -> None:
    plan = Plan()
    assert ask(lambda: plan) is plan


def test_a_value_that_is_no_json_is_shown() -> None:
    with attempt(lambda linux: {1, 2}) as found:
        assert (found.returned, found.shown) == (None, "{1, 2}")


def run(function: Any, how: str = "attempt", seconds: float = 5) -> None:
    """Try a function out, and look at nothing."""
    if how == "rehearse":
        rehearse(function, seconds=seconds)
    elif how == "ask":
        ask(function, seconds=seconds)
    else:
        with attempt(function, seconds=seconds):
            pass

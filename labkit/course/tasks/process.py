"""Exercise 01: a process is forked, becomes a program, ends, and is asked how."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.linux import proc
from labkit.linux.proc import Process
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan import Plan, step

StartProgram = Callable[[Linux, list[str]], int]
FindZombies = Callable[[Linux, int], list[int]]

_PATIENCE_S = 5.0
# Two of the names look like a state, and like the end of a name.
_DEAD = ("S) up (S", "gone")
_LIVING = ("Z) nap (Z", "nap")


def check_start_program(start_program: StartProgram, case: Case) -> Saw:
    """Have a shell started that leaves a secret and an exit code, both made up now."""
    code, secret = case.seed.number(3, 99), case.seed.secret()
    proof = Path(case.folder, case.seed.name())
    argv = ["/bin/sh", "-c", f"echo {secret} > {proof}; exit {code}"]

    rehearsed = rehearse(start_program, argv)
    names = rehearsed.names
    rehearsed.must(
        "execve" in names,
        "no program was started: which call makes a process one?",
    )
    rehearsed.must(
        "fork" in names,
        "there was no second process: execve alone puts the program in the place of "
        "yours. Which call makes a copy first?",
    )
    rehearsed.must(
        not rehearsed.became,
        "the parent became the program, too: fork returns in both processes, and it "
        "returns 0 only in the child",
    )
    with attempt(start_program, argv) as run:
        _wait_for_quiet(run.pid)
        written = proof.read_text() if proof.exists() else ""
        run.must(secret in written, "the program did not run: argv says which, and how")
        run.must(
            not _dead(run.pid),
            "the program has ended, and is still in the table of processes: a zombie. "
            "Which call asks how it ended?",
        )
        run.must(
            run.returned != code << 8,
            f"it returned {run.shown}, and the exit code was {code}: the status that "
            "waitpid gives has more in it (os.waitstatus_to_exitcode)",
        )
        run.must(
            run.returned == code,
            f"it returned {run.shown}, and the program's exit code was {code}",
        )
        return run.saw("the program ran in a child, and you returned its exit code")


def check_find_zombies(find_zombies: FindZombies, case: Case) -> Saw:
    """Show a parent with children, dead and alive, with names that mislead."""
    more = [_DEAD[1]] * case.seed.number(0, 2) + [_LIVING[1]] * case.seed.number(0, 2)
    names = case.seed.shuffled([*_DEAD, *_LIVING, *more])
    with _parent_of(names) as parent, attempt(find_zombies, parent) as run:
        zombies = _dead(parent)
        living = {child.pid for child in proc.children(parent)} - zombies
        run.must(
            isinstance(run.returned, list),
            f"it returned {run.shown}; a list of pids was asked for",
        )
        found = set(run.returned)
        misled = living & found
        run.must(
            misled != living or not zombies <= found,
            "it named the living, too. Try /proc/PID/stat of one of each: which field "
            "differs?",
        )
        run.must(
            not misled,
            "it named one that is alive, and has a Z in its name. Where in the text "
            "does the state stand?",
        )
        run.must(
            zombies <= found,
            f"it found {len(zombies & found)} of {len(zombies)} zombies. One has a ')' "
            "in its name: where does the name end?",
        )
        run.must(found == zombies, "it named a process that is no child of that parent")
        return run.saw("it named the dead among the children, and none of the living")


@contextmanager
def _parent_of(names: list[str]) -> Iterator[HostPid]:
    with Plan(step(_have_children, names)).fork() as child:
        child.run()
        deadline = time.monotonic() + _PATIENCE_S
        wanted = len([name for name in names if name in _DEAD])
        while len(_dead(child.pid)) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        yield child.pid


def _have_children(linux: Linux, names: list[str]) -> None:
    for name in names:
        if linux.fork() == 0:
            linux.write_file("/proc/self/comm", name)
            if name in _DEAD:
                os._exit(0)
            while True:
                signal.pause()


def _wait_for_quiet(pid: HostPid) -> None:
    # A program that nobody waited for may still run: it is given time to end.
    deadline = time.monotonic() + _PATIENCE_S
    while _running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def _running(pid: HostPid) -> list[Process]:
    return [child for child in proc.children(pid) if child.state != "Z"]


def _dead(pid: HostPid) -> set[int]:
    return {child.pid for child in proc.children(pid) if child.state == "Z"}


START_PROGRAM = Task(
    id="01.1",
    sentence="Start a program, wait for its end, and return its exit code.",
    points=2,
    level=Level.EASY,
    size="about five lines",
    question=Question(
        "You call fork once. How often does it return?",
        ("once", "twice: in two processes", "never"),
    ),
    hints=(
        "Look at the three calls of the chapter, in their order: man 2 fork, execve, "
        "waitpid.",
        "fork returns 0 in the child, which calls execve; the parent gets the child's "
        "pid, and calls waitpid with it.",
        "pid = linux.fork(); if pid == 0: linux.execve(argv[0], argv, {...}); then, in "
        "the parent, _, status = linux.waitpid(pid) and os.waitstatus_to_exitcode.",
    ),
    functions=("start_program",),
    check=check_start_program,
    kept=True,
    mistakes=(
        Mistake(
            "forgets to wait",
            """
def start_program(linux, argv):
    if linux.fork() == 0:
        linux.execve(argv[0], argv, {})
    return 0
""",
            "a zombie",
        ),
        Mistake(
            "forgets to fork",
            """
def start_program(linux, argv):
    linux.execve(argv[0], argv, {})
""",
            "there was no second process",
        ),
        Mistake(
            "takes the wait status for the exit code",
            """
def start_program(linux, argv):
    pid = linux.fork()
    if pid == 0:
        linux.execve(argv[0], argv, {})
    return linux.waitpid(pid)[1]
""",
            "has more in it",
        ),
        Mistake(
            "becomes the program on both sides",
            """
def start_program(linux, argv):
    pid = linux.fork()
    linux.execve(argv[0], argv, {})
    return os.waitstatus_to_exitcode(linux.waitpid(pid)[1])
""",
            "the parent became the program, too",
        ),
    ),
)

FIND_ZOMBIES = Task(
    id="01.2",
    sentence="Find the zombies among the children of a process.",
    points=3,
    level=Level.MEDIUM,
    size="about seven lines",
    question=Question(
        "A program has ended, and its parent hasn't asked yet. What is left of it?",
        ("nothing", "its memory", "its open files", "its pid and how it ended"),
    ),
    hints=(
        "Look at /proc/PID/task/PID/children, and at /proc/PID/stat of one of them.",
        "linux.read_file reads both. The state is a letter, right behind the name, "
        "which stands in parentheses: man 5 proc_pid_stat.",
        "For each pid in children.split(): stat.rpartition(')')[2].split()[0] == 'Z'.",
    ),
    functions=("find_zombies",),
    check=check_find_zombies,
    mistakes=(
        Mistake(
            "names all children",
            """
def find_zombies(linux, pid):
    return [int(p) for p in linux.read_file(f"/proc/{pid}/task/{pid}/children").split()]
""",
            "it named the living, too",
        ),
        Mistake(
            "looks for a Z anywhere",
            """
def find_zombies(linux, pid):
    children = linux.read_file(f"/proc/{pid}/task/{pid}/children").split()
    status = {p: linux.read_file(f"/proc/{p}/stat") for p in children}
    return [int(p) for p in children if "Z" in status[p]]
""",
            "has a Z in its name",
        ),
        Mistake(
            "takes the first parenthesis for the end of the name",
            """
def find_zombies(linux, pid):
    children = linux.read_file(f"/proc/{pid}/task/{pid}/children").split()
    stat = {p: linux.read_file(f"/proc/{p}/stat") for p in children}
    return [int(p) for p in children if stat[p].split(")")[1].split()[0] == "Z"]
""",
            "where does the name end?",
        ),
    ),
)

EXERCISE = Exercise(
    "01",
    "Exercise 01: a process",
    "Write the first function of your container runtime, then look for the dead.",
    "01_a_process.ipynb",
    (START_PROGRAM, FIND_ZOMBIES),
)

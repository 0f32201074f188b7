"""Exercise 03: a limit is written, a process joins, and a death is explained."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit import loads
from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.verdict import Failed, Saw, Stage
from labkit.linux.flags import CAP, CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Exit, Plan, step
from labkit.primitives.cgroups import Cgroup
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Exec, Fork

LimitMemory = Callable[[Linux, str, int], None]
JoinCgroup = Callable[[Linux, str], None]
DiedOfMemory = Callable[[Linux, str, int], bool]

MEMORY, BY_HAND, BY_ITSELF = "memory", "by-hand", "by-itself"
_MIB = 1024 * 1024
_SMALL = 24 * _MIB
_KILLED = 128 + signal.SIGKILL  # what a shell and docker say of it


def check_limit_and_join(functions: tuple[LimitMemory, JoinCgroup], case: Case) -> Saw:
    """Set a limit of a size made up just now, join, and take more than it."""
    limit_memory, join_cgroup = functions
    wanted = case.seed.number(40, 80) * _MIB
    for rehearsed in (
        rehearse(limit_memory, "/sys/fs/cgroup/box", wanted),
        rehearse(join_cgroup, "/sys/fs/cgroup/box"),
    ):
        rehearsed.must(
            "write" in rehearsed.names,
            "nothing was written: all that a cgroup is told is told by a write",
        )
    with _group(case, "limit") as group:
        runs = [
            _limited_by(limit_memory, group, wanted),
            _joined_by(join_cgroup, group, case),
        ]
        greedy = Plan(step(join_cgroup, group.path("memory")), _eater(wanted * 2))
        with greedy.fork() as child:
            child.run()
            ended = child.wait(timeout_s=20)
        if ended.signal != "SIGKILL" or not group.snapshot().oom_kills:
            raise Failed(f"a program that took twice as much: {ended}", Stage.LINUX)
    calls = tuple(call for run in runs for call in run.calls)
    return Saw("a program that joined and took more than the limit was killed", calls)


def check_died_of_memory(died_of_memory: DiedOfMemory, case: Case) -> Saw:
    """Show three deaths in a random order, two of them by the same signal."""
    fates = case.seed.shuffled([MEMORY, BY_HAND, BY_ITSELF])
    runs = {fate: _judged_by(died_of_memory, fate, case) for fate in fates}
    said = {fate: run.returned for fate, run in runs.items()}
    last = runs[fates[-1]]
    last.must(
        set(said.values()) <= {True, False},
        f"it returned {last.shown}; True or False was asked for",
    )
    last.must(
        said[MEMORY], "it said no, and Linux had killed the program for its memory"
    )
    last.must(
        not (said[BY_HAND] and said[BY_ITSELF]),
        "it said yes to all deaths, even to an exit. The line is always in the file: "
        "which number stands in it?",
    )
    last.must(
        not said[BY_HAND],
        "it said yes where somebody had sent SIGKILL: the exit code is the same. Who "
        "counts the kills that memory caused?",
    )
    last.must(not said[BY_ITSELF], "it said yes where the program had left by itself")
    return last.saw("you told a death by memory from the two others")


def _judged_by(died_of_memory: DiedOfMemory, fate: str, case: Case) -> Run:
    with _group(case, fate) as group:
        code = _end(group, fate, case)
        with attempt(died_of_memory, group.path("memory"), code) as run:
            return run


def _limited_by(limit_memory: LimitMemory, group: Cgroup, wanted: int) -> Run:
    with attempt(limit_memory, group.path("memory"), wanted) as run:
        limit = group.read("memory")
        run.must(
            limit is not None,
            "the group has no limit: which of its files holds the hard one?",
        )
        run.must(
            limit == wanted,
            f"the limit is {limit} bytes, and {wanted} were asked for. In which unit "
            "does the file count?",
        )
        return run


def _joined_by(join_cgroup: JoinCgroup, group: Cgroup, case: Case) -> Run:
    # In a PID namespace a wrong number can't mean anybody else on this machine: what is
    # in the group when it is removed gets killed.
    alone = Plan(Unshare(CLONE.NEWPID), Fork())
    may = case.host.privilege.has(CAP.SYS_ADMIN)
    with attempt(
        join_cgroup, group.path("memory"), first=alone if may else None
    ) as run:
        members = os.path.join(group.path("memory"), "cgroup.procs")
        with open(members) as file:
            joined = str(run.pid) in file.read().split()
        run.must(
            joined, "your process is not in the group: which file lists its members?"
        )
        return run


def _end(group: Cgroup, fate: str, case: Case) -> int:
    code = case.seed.number(1, 99)
    if fate == MEMORY:
        group.limit(memory=_SMALL)
    programs = {
        MEMORY: _eater(_SMALL * 2),
        BY_HAND: Exec(["sleep", "60"]),
        BY_ITSELF: Exec(["sh", "-c", f"exit {code}"]),
    }
    with Plan(group.join(), programs[fate]).fork() as child:
        child.run()
        if fate == BY_HAND:
            os.kill(child.pid, signal.SIGKILL)
        return _code(child.wait(timeout_s=20))


def _code(ended: Exit) -> int:
    return _KILLED if ended.code is None else ended.code


def _eater(size: int) -> Exec:
    return Exec(
        [sys.executable, loads.path("memory"), "--mebibytes", str(size // _MIB)]
    )


@contextmanager
def _group(case: Case, what: str) -> Iterator[Cgroup]:
    with Cgroup.create(f"check-{what}-{case.seed.name()}", case.host) as group:
        if case.host.swap_bytes:
            group.limit(swap=0)  # or it would get slow before it gets killed
        yield group


LIMIT_AND_JOIN = Task(
    id="03.1",
    sentence="Limit a group's memory, and move a process into the group.",
    points=2,
    level=Level.EASY,
    size="one or two lines each",
    question=Question(
        "A process joins a group, and then forks. In which group is its child?",
        ("in the same one", "in the one above", "in none until it joins one"),
    ),
    hints=(
        "Look at the table of the chapter: the row `memory` has the file's name, and "
        "`cgroup.procs` lists the members. Both are in cgroup_path.",
        "linux.write_file(path, text) writes a text in one write(2). What is the "
        "number of a process that writes about itself? 0 will do.",
        'linux.write_file(f"{cgroup_path}/...", str(limit_bytes)), and '
        'linux.write_file(f"{cgroup_path}/cgroup.procs", "0").',
    ),
    functions=("limit_memory", "join_cgroup"),
    check=check_limit_and_join,
    needs=("memory limits",),
    kept=True,
    mistakes=(
        Mistake(
            "takes the soft limit for the hard one",
            """
def limit_memory(linux, cgroup_path, limit_bytes):
    try:
        linux.write_file(f"{cgroup_path}/memory.high", str(limit_bytes))
    except FileNotFoundError:
        linux.write_file(f"{cgroup_path}/memory.soft_limit_in_bytes", str(limit_bytes))

def join_cgroup(linux, cgroup_path):
    linux.write_file(f"{cgroup_path}/cgroup.procs", "0")
""",
            "the group has no limit",
        ),
        Mistake(
            "counts in megabytes",
            """
def limit_memory(linux, cgroup_path, limit_bytes):
    try:
        linux.write_file(f"{cgroup_path}/memory.max", str(limit_bytes // 2**20))
    except FileNotFoundError:
        mebibytes = str(limit_bytes // 2**20)
        linux.write_file(f"{cgroup_path}/memory.limit_in_bytes", mebibytes)

def join_cgroup(linux, cgroup_path):
    linux.write_file(f"{cgroup_path}/cgroup.procs", "0")
""",
            "In which unit",
        ),
        Mistake(
            "joins with a word instead of a number",
            """
def limit_memory(linux, cgroup_path, limit_bytes):
    try:
        linux.write_file(f"{cgroup_path}/memory.max", str(limit_bytes))
    except FileNotFoundError:
        linux.write_file(f"{cgroup_path}/memory.limit_in_bytes", str(limit_bytes))

def join_cgroup(linux, cgroup_path):
    linux.write_file(f"{cgroup_path}/cgroup.procs", "self")
""",
            "EINVAL",
        ),
    ),
)

DIED_OF_MEMORY = Task(
    id="03.2",
    sentence="Exit code 137: was it the memory limit, or did somebody kill it?",
    points=3,
    level=Level.MEDIUM,
    size="about six lines",
    question=Question(
        "A container ended with exit code 137. What do you know for certain?",
        ("it used too much memory", "it was killed by SIGKILL", "it crashed"),
    ),
    hints=(
        "Look at the files of the group that begin with `memory.` and have a line "
        "`oom_kill`.",
        "It is memory.events in one generation and memory.oom_control in the other. "
        "linux.read_file reads it; the line has a name and a number.",
        "Split each line into its two words; the answer is whether the number behind "
        "exactly `oom_kill` is above 0.",
    ),
    functions=("died_of_memory",),
    check=check_died_of_memory,
    needs=("memory limits",),
    mistakes=(
        Mistake(
            "believes the exit code",
            """
def died_of_memory(linux, cgroup_path, exit_code):
    return exit_code == 137
""",
            "the exit code is the same",
        ),
        Mistake(
            "looks for the word and not for its number",
            """
def died_of_memory(linux, cgroup_path, exit_code):
    try:
        text = linux.read_file(f"{cgroup_path}/memory.events")
    except FileNotFoundError:
        text = linux.read_file(f"{cgroup_path}/memory.oom_control")
    return "oom_kill" in text
""",
            "which number stands in it?",
        ),
        Mistake(
            "says no to all",
            """
def died_of_memory(linux, cgroup_path, exit_code):
    return exit_code > 255
""",
            "it said no",
        ),
    ),
)

EXERCISE = Exercise(
    "03",
    "Exercise 03: cgroups",
    "Write the limit yourself, and find out afterwards why a program died.",
    "03_cgroups.ipynb",
    (LIMIT_AND_JOIN, DIED_OF_MEMORY),
)

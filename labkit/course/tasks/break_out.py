"""Exercise 10: three holes closed. The third is in `inside_root`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import inside_root
from labkit.course.verdict import Saw
from labkit.linux.syscalls import Linux
from labkit.plan import Plan, step

LeaveNothingOpen = Callable[[Linux, int], None]
IsInside = Callable[[Linux], bool]

_CLOSE_ON_EXEC = 0o2000000  # O_CLOEXEC, as /proc/PID/fdinfo writes it


def check_leave_nothing_open(leave_nothing_open: LeaveNothingOpen, case: Case) -> Saw:
    """Let a runtime forget three descriptors, with numbers chosen just now."""
    first = case.seed.number(50, 90)
    forgotten = [first, first + case.seed.number(1, 40), case.seed.number(400, 900)]
    kept = [first - 1, *range(3)]
    rehearsed = rehearse(leave_nothing_open, first)
    rehearsed.must(rehearsed.calls, "no call was made: all are open as before")
    before = Plan(step(_forget, [*forgotten, first - 1]))
    with attempt(leave_nothing_open, first, first=before) as run:
        open_ones = [fd for fd in forgotten if _survives(run, fd)]
        run.must(
            not open_ones,
            f"{len(open_ones)} of {len(forgotten)} forgotten descriptors are still "
            "there after execve: who says how far the numbers go?",
        )
        lost = [fd for fd in kept if not _survives(run, fd)]
        run.must(
            not lost,
            f"{len(lost)} descriptors below the first would be closed, too: a program "
            "without stdout",
        )
        return run.saw("what was forgotten closes by itself; what was given stays")


def check_is_inside(is_inside: IsInside, case: Case) -> Saw:
    """Put a process inside its root, and then one beside it."""
    root = Path(case.folder, case.seed.name())
    (root / "home").mkdir(parents=True)
    beside = Path(case.folder, "beside")
    beside.mkdir()
    for place, right in ((root / "home", True), (root, True), (beside, False)):
        first = Plan(step(_stand, str(place), str(root)))
        with attempt(is_inside, first=first) as run:
            run.must(
                run.returned is right,
                f"it returned {run.shown} for a process that stands "
                f"{'inside' if right else 'outside its root'}: what does getcwd "
                "answer there?",
            )
    return Saw("it tells who stands inside from who doesn't")


def _forget(linux: Linux, numbers: list[int]) -> None:
    for number in numbers:
        os.dup2(0, number, inheritable=True)


def _survives(run: Run, fd: int) -> bool:
    try:
        text = Path(f"/proc/{run.pid}/fdinfo/{fd}").read_text()
    except FileNotFoundError:
        return False
    fields = dict(line.split(":", 1) for line in text.splitlines())
    return not int(fields["flags"], 8) & _CLOSE_ON_EXEC


def _stand(linux: Linux, place: str, root: str) -> None:
    # chroot doesn't move the working directory: chapter 02.
    linux.chdir(place)
    linux.chroot(root)


LEAVE = Task(
    id="10.1",
    sentence="Leave nothing open: every descriptor from a number on closes at execve.",
    points=2,
    level=Level.EASY,
    size="one or two lines",
    question=Question(
        "A descriptor is marked close-on-exec. Who can still use it?",
        ("nobody", "this process, until execve", "its children, for ever"),
    ),
    hints=(
        "ls -l /proc/self/fd, in a child of yours: which numbers are there?",
        "close_range(2) takes a first and a last number, and flags.",
        "linux.close_range(first, 2**32 - 1, CLOSE_RANGE.CLOEXEC)",
    ),
    functions=("leave_nothing_open",),
    check=check_leave_nothing_open,
    kept=True,
    mistakes=(
        Mistake(
            "knows how far the numbers go",
            """
from labkit.linux.privilege_flags import CLOSE_RANGE

def leave_nothing_open(linux, first):
    linux.close_range(first, first + 100, CLOSE_RANGE.CLOEXEC)
""",
            "who says how far the numbers go?",
        ),
        Mistake(
            "takes all of them",
            """
from labkit.linux.privilege_flags import CLOSE_RANGE

def leave_nothing_open(linux, first):
    linux.close_range(0, 2**32 - 1, CLOSE_RANGE.CLOEXEC)
""",
            "a program without stdout",
        ),
        Mistake(
            "does nothing",
            """
def leave_nothing_open(linux, first):
    return first
""",
            "no call was made",
        ),
    ),
)

IS_INSIDE = Task(
    id="10.2",
    sentence="Do I stand inside my root? Ask Linux, and believe the answer.",
    points=2,
    level=Level.MEDIUM,
    size="about four lines",
    question=Question(
        "A process changes its root and doesn't change its directory. Where does its "
        "relative path `secret` begin?",
        ("at the new root", "where it stood before", "nowhere"),
    ),
    hints=(
        "Chapter 02: chroot without chdir. What does pwd say there?",
        "linux.getcwd() raises ENOENT (a FileNotFoundError), or its answer doesn't "
        "begin with a slash.",
        "try: return linux.getcwd().startswith('/') / except FileNotFoundError: "
        "return False",
    ),
    functions=("is_inside",),
    check=check_is_inside,
    needs=("root",),
    mistakes=(
        Mistake(
            "is an optimist",
            """
def is_inside(linux):
    return True
""",
            "a process that stands outside its root",
        ),
        Mistake(
            "is a pessimist",
            """
def is_inside(linux):
    return False
""",
            "a process that stands inside",
        ),
    ),
)

EXERCISE = Exercise(
    chapter="10",
    title="Break out",
    text="Three holes to close: a descriptor, a directory, a link.",
    notebook="10_break_out.ipynb",
    tasks=(LEAVE, IS_INSIDE, inside_root.INSIDE_ROOT),
)

"""Exercise 02: a process gets a root of its own, and nothing that leads out of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from labkit.course.attempt import Run, as_root, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath, HostPid

EnterRoot = Callable[[Linux, str], None]
EnterWithLog = Callable[[Linux, str, str], None]

_ENTERED = "entered"


def check_enter_root(enter_root: EnterRoot, case: Case) -> Saw:
    """Make a directory whose name nobody knew the root."""
    box = _box(case)
    rehearsed = rehearse(enter_root, box)
    _must_change_the_root(rehearsed)
    with attempt(enter_root, box, first=as_root(case.host)) as run:
        _must_be_in(run, box)
        return run.saw("/ and . of your process are the box")


def check_enter_with_log(enter_with_log: EnterWithLog, case: Case) -> Saw:
    """Do the same, and look for a descriptor that leads out, as Mallory would."""
    box, log = _box(case), Path(case.folder, "log")
    log.write_text("")
    rehearsed = rehearse(enter_with_log, box, str(log))
    _must_change_the_root(rehearsed)
    first = as_root(case.host)
    with attempt(enter_with_log, box, str(log), first=first) as run:
        _must_be_in(run, box)
        run.must(
            log.read_text().strip() == _ENTERED,
            f'the log outside has no line "{_ENTERED}": the service needs it',
        )
        run.must(
            not _ways_out(run.pid, box),
            "Mallory read the host: a descriptor of a directory outside was still "
            "open, and fchdir follows it. chroot closes nothing. Which call does?",
        )
        return run.saw("the log has its line, and no descriptor leads out of the box")


def _box(case: Case) -> HostPath:
    box = Path(case.folder, case.seed.name())
    box.mkdir()
    (box / "marker").write_text(case.seed.secret())
    return HostPath(str(box))


def _must_change_the_root(rehearsed: Run) -> None:
    rehearsed.must(
        {"chroot", "pivot_root"} & set(rehearsed.names),
        'no call changed the root. Which one writes that field of a process, "/"?',
    )


def _must_be_in(run: Run, box: HostPath) -> None:
    run.must(
        _same(f"/proc/{run.pid}/root", box),
        "the root of your process is not the directory that path names",
    )
    names = run.names
    went_first = "chdir" in names and names.index("chdir") < names.index("chroot")
    inside = _is_inside(f"/proc/{run.pid}/cwd", box)
    run.must(
        inside or not went_first,
        'your process went to a directory first and changed the root then: "." is '
        "still outside the box. In which order does chdir mean the new root?",
    )
    run.must(
        inside,
        '"." is still outside the box, and ".." leads on from there. Which call '
        "moves it?",
    )


def _ways_out(pid: HostPid, box: HostPath) -> list[str]:
    links = [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    return [fd for fd in links if os.path.isdir(fd) and not _is_inside(fd, box)]


def _is_inside(link: str, box: HostPath) -> bool:
    # By what the link leads to, for whoever reads it: its text is only a path.
    return Path(os.path.realpath(link)).is_relative_to(os.path.realpath(box))


def _same(link: str, path: HostPath) -> bool:
    return os.path.samestat(os.stat(link), os.stat(path))


ENTER_ROOT = Task(
    id="02.1",
    sentence="Give your runtime a root: enter a directory, and leave nothing outside.",
    points=2,
    level=Level.EASY,
    size="about two lines",
    question=Question(
        'You call chroot(path), and then open("."). What do you open?',
        ("the box", "the directory you were in, outside", "nothing: it is an error"),
    ),
    hints=(
        "A process has two fields: where / is, and where . is. Look at both in "
        "/proc/PID/root and /proc/PID/cwd of a parked child.",
        "chroot writes the first field, chdir the second: man 2 chroot, NOTES.",
        "First the new root, then the directory, seen from there: linux.chroot(path), "
        'linux.chdir("/").',
    ),
    functions=("enter_root",),
    check=check_enter_root,
    needs=("chroot",),
    kept=True,
    mistakes=(
        Mistake(
            "forgets chdir",
            """
def enter_root(linux, path):
    linux.chroot(path)
""",
            "Which call moves it?",
        ),
        Mistake(
            "calls chdir before chroot",
            """
def enter_root(linux, path):
    linux.chdir("/")
    linux.chroot(path)
""",
            "In which order",
        ),
        Mistake(
            "uses the path of the outside after chroot",
            """
def enter_root(linux, path):
    linux.chroot(path)
    linux.chdir(path)
""",
            "ENOENT",
        ),
        Mistake(
            "goes there without a new root",
            """
def enter_root(linux, path):
    linux.chdir(path)
""",
            "no call changed the root",
        ),
    ),
)

FIND_THE_LEAK = Task(
    id="02.2",
    sentence="Find the leak: this function looks right, and Mallory reads the host.",
    points=3,
    level=Level.MEDIUM,
    size="one line",
    question=Question(
        "A process has a directory open when it calls chroot. Then the descriptor …",
        ("is closed", "leads into the new root", "leads where it led before"),
    ),
    hints=(
        "Look at what chroot doesn't touch: /proc/PID/fd of the parked child.",
        "Mallory calls fchdir with a number that is open, and is outside. What must be "
        "gone before she comes?",
        "Each open needs its close: linux.close(...), with the descriptor of the "
        "directory.",
    ),
    functions=("enter_with_log",),
    check=check_enter_with_log,
    needs=("chroot",),
    mistakes=(
        Mistake(
            "leaves it as it is",
            """
def enter_with_log(linux, path, log):
    outside = linux.open("/", O.DIRECTORY)
    log_fd = linux.open(log, O.WRONLY | O.APPEND)
    linux.chroot(path)
    linux.chdir("/")
    linux.write(log_fd, b"entered\\n")
    linux.close(log_fd)
""",
            "Mallory read the host",
        ),
        Mistake(
            "closes the log instead of the directory, and too early",
            """
def enter_with_log(linux, path, log):
    outside = linux.open("/", O.DIRECTORY)
    log_fd = linux.open(log, O.WRONLY | O.APPEND)
    linux.close(log_fd)
    linux.chroot(path)
    linux.chdir("/")
    linux.write(log_fd, b"entered\\n")
""",
            "EBADF",
        ),
        Mistake(
            "throws the log away with the leak",
            """
def enter_with_log(linux, path, log):
    linux.chroot(path)
    linux.chdir("/")
""",
            "the log outside has no line",
        ),
    ),
)

EXERCISE = Exercise(
    "02",
    "Exercise 02: chroot",
    "Give your runtime a root of its own, then find what still leads out of one.",
    "02_chroot.ipynb",
    (ENTER_ROOT, FIND_THE_LEAK),
)

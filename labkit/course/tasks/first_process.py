"""Exercise 09, second part: PID 1 waits for everybody."""

from __future__ import annotations

from collections.abc import Callable

from labkit.course.attempt import attempt
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.linux import proc
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Plan
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Fork

BeInit = Callable[[Linux, list[str]], int]

# The program leaves an orphan, which ends first: with another code, and unwaited for.
_SCRIPT = "sh -c 'sleep 0.1 & exit'; sleep 0.5; exit {code}"


def check_be_init(be_init: BeInit, case: Case) -> Saw:
    """Run a program with an orphan that ends before it; the exit code is made up."""
    code = case.seed.number(3, 90)
    argv = ["/bin/sh", "-c", _SCRIPT.format(code=code)]
    # Not rehearsed: on the recorder no child ever ends, and this waits until one does.
    first = Plan(Unshare(CLONE.NEWPID), Fork())
    with attempt(be_init, argv, first=first) as run:
        run.must(
            run.returned != code << 8,
            "it returned the wait status: the exit code is only a part of that",
        )
        run.must(
            run.returned != 0,
            "it returned 0: that was the orphan's code. Whose end was waited for?",
        )
        run.must(
            run.returned == code, f"it returned {run.shown}, and the code was {code}"
        )
        left = [child for child in proc.children(run.pid) if child.state == "Z"]
        run.must(
            not left,
            "a zombie is left: an orphan's new parent is PID 1, and PID 1 waited for "
            "the program only",
        )
        return run.saw("the program's code came back, and no zombie is left")


BE_INIT = Task(
    id="09.2",
    sentence="Be PID 1: run a program, bury every orphan, return the program's code.",
    points=3,
    level=Level.MEDIUM,
    size="about eight lines",
    question=Question(
        "A process in the container dies, and its parent is dead already. Who has to "
        "wait for it?",
        ("nobody", "PID 1 of the container", "the runtime"),
    ),
    hints=(
        "Chapter 01 had zombies. Whose children do orphans become, in a namespace?",
        "waitpid(-1) waits for any child and tells which; os.waitstatus_to_exitcode "
        "makes a code of its status.",
        "program = linux.fork(); in the child, execve. Then in a loop: pid, status = "
        "linux.waitpid(-1); when pid is the program's, return its code.",
    ),
    functions=("be_init",),
    check=check_be_init,
    needs=("root",),
    mistakes=(
        Mistake(
            "waits for the program only",
            """
import os

def be_init(linux, argv):
    program = linux.fork()
    if program == 0:
        linux.execve(argv[0], argv, {"PATH": "/bin:/usr/bin"})
    _, status = linux.waitpid(program)
    return os.waitstatus_to_exitcode(status)
""",
            "a zombie is left",
        ),
        Mistake(
            "takes whoever ends first",
            """
import os

def be_init(linux, argv):
    if linux.fork() == 0:
        linux.execve(argv[0], argv, {"PATH": "/bin:/usr/bin"})
    _, status = linux.waitpid(-1)
    return os.waitstatus_to_exitcode(status)
""",
            "that was the orphan's code",
        ),
        Mistake(
            "returns the status as it is",
            """
def be_init(linux, argv):
    program = linux.fork()
    if program == 0:
        linux.execve(argv[0], argv, {"PATH": "/bin:/usr/bin"})
    while True:
        pid, status = linux.waitpid(-1)
        if pid == program:
            return status
""",
            "it returned the wait status",
        ),
        Mistake(
            "becomes the program itself",
            """
def be_init(linux, argv):
    linux.execve(argv[0], argv, {"PATH": "/bin:/usr/bin"})
""",
            "your function did not come back",
        ),
    ),
)

"""Exercise 04: a world of its own. Its other two tasks are in `who_outside`.

Learners' code runs on a stage: a child with mounts and a host name of its own plays the
host, so that a wrong answer renames nobody's machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import who_outside
from labkit.course.verdict import Saw
from labkit.linux.flags import CLONE, NamespaceType
from labkit.linux.syscalls import Linux
from labkit.plan import Child, Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import (
    JoinNamespaces,
    Namespaces,
    SetHostname,
    Unshare,
)

NewWorld = Callable[[Linux, str], None]

_WANTED = frozenset(NamespaceType) - {NamespaceType.USER, NamespaceType.TIME}
_STAGE = CLONE.NEWNS | CLONE.NEWUTS


def check_new_world(new_world: NewWorld, case: Case) -> Saw:
    """Six kinds of namespace, and a name that was made up just now."""
    hostname = case.seed.name()
    rehearsed = rehearse(new_world, hostname)
    names = rehearsed.names
    rehearsed.must("unshare" in names, "no new namespace: which call makes one?")
    rehearsed.must("sethostname" in names, "nobody set the host name")
    before = rehearsed.calls[: names.index("sethostname")]
    rehearsed.must(
        any("CLONE_NEWUTS" in call.text for call in before),
        "the host itself would have been renamed: at sethostname your process was "
        "still in its UTS namespace. What has to come first?",
    )
    with _stage(case.seed.name()) as host:
        first = Plan(JoinNamespaces(host.pid, _STAGE))
        with attempt(new_world, hostname, first=first) as run:
            number, inside = _number_and_name(run)
            new = Namespaces.of(run.pid) - Namespaces.of(host.pid)
            new |= {NamespaceType.PID} if number == "1" else set()
            shared = [kind.value for kind in NamespaceType if kind in _WANTED - new]
            run.must(
                not shared,
                f"your process still shares with the host: {', '.join(shared)}",
            )
            run.must(
                inside == hostname,
                f"the host name inside is {inside}, and {hostname} was asked for",
            )
            return run.saw("six namespaces are its own, and the name is set in there")


@contextmanager
def _stage(name: str) -> Iterator[Child]:
    plan = Plan(Unshare(_STAGE), MakePrivate("/"), SetHostname(name))
    with plan.fork() as child:
        child.run()
        yield child


def _number_and_name(run: Run) -> list[str]:
    # In one command, because when the first process of a PID namespace has ended,
    # nothing starts in it any more.
    assert run.child is not None
    return run.child.exec(["sh", "-c", "echo $$; uname -n"]).stdout.split()


NEW_WORLD = Task(
    id="04.1",
    sentence="Give your runtime a world: six new namespaces, and a host name in it.",
    points=2,
    level=Level.EASY,
    size="about three lines",
    question=Question(
        "You call sethostname first, and unshare after it. Who is renamed?",
        ("the container", "the whole machine", "nobody: it is an error"),
    ),
    hints=(
        "Compare two processes: lab.compare(Namespaces.of('self'), "
        "Namespaces.of(child.pid)). Six kinds should differ, all but user and time.",
        "One unshare takes several flags, joined by |. In which namespace is the "
        "process when sethostname is called?",
        "linux.unshare(CLONE.NEWNS | CLONE.NEWPID | ...), with NEWNET, NEWUTS, NEWIPC "
        "and NEWCGROUP, then linux.sethostname(hostname). No fork: the plan has it.",
    ),
    functions=("new_world",),
    check=check_new_world,
    needs=("namespaces",),
    kept=True,
    mistakes=(
        Mistake(
            "sets the name before the namespace is there",
            """
def new_world(linux, hostname):
    linux.sethostname(hostname)
    linux.unshare(CLONE.NEWNS | CLONE.NEWPID | CLONE.NEWNET | CLONE.NEWUTS)
""",
            "the host itself would have been renamed",
        ),
        Mistake(
            "takes the UTS namespace only",
            """
def new_world(linux, hostname):
    linux.unshare(CLONE.NEWUTS)
    linux.sethostname(hostname)
""",
            "still shares with the host: mount, pid, network, ipc, cgroup",
        ),
        Mistake(
            "forgets the PID namespace",
            """
def new_world(linux, hostname):
    linux.unshare(CLONE.NEWNS | CLONE.NEWNET | CLONE.NEWUTS | CLONE.NEWIPC)
    linux.unshare(CLONE.NEWCGROUP)
    linux.sethostname(hostname)
""",
            "still shares with the host: pid",
        ),
        Mistake(
            "writes one name into the function",
            """
def new_world(linux, hostname):
    linux.unshare(CLONE.NEWNS | CLONE.NEWNET | CLONE.NEWUTS | CLONE.NEWIPC)
    linux.unshare(CLONE.NEWCGROUP | CLONE.NEWPID)
    linux.sethostname("box")
""",
            "the host name inside is box",
        ),
    ),
)

EXERCISE = Exercise(
    "04",
    "Exercise 04: namespaces",
    "Give your container a world of its own, then find out who is who outside of it.",
    "04_namespaces.ipynb",
    (NEW_WORLD, who_outside.PID_OUTSIDE, who_outside.BECOME_ROOT),
)

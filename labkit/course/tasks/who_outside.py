"""Exercise 04, second part: one process has two numbers, one user two names."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import attempt, rehearse
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.linux import proc
from labkit.linux.flags import CLONE, PR, NamespaceType
from labkit.linux.syscalls import Linux
from labkit.linux.views import ContainerPid, HostPid
from labkit.plan import Child, Plan, step
from labkit.primitives.namespaces import Namespaces, Unshare
from labkit.primitives.process import Fork

PidOutside = Callable[[Linux, int, int], int | None]
BecomeRoot = Callable[[Linux, int, int], None]


def check_pid_outside(pid_outside: PidOutside, case: Case) -> Saw:
    """Two containers with the same numbers inside; one number is asked for."""
    size = case.seed.number(3, 6)
    with _family(size) as ours, _family(size) as neighbours:
        people = _people(ours.pid)
        # The grandchild, or one of the children: never PID 1 itself.
        number = case.seed.shuffled([n for n in people if n != 1])[0]
        grandchild = ContainerPid(max(people))
        for asked in (number, grandchild):
            with attempt(pid_outside, ours.pid, asked) as run:
                got, right = run.returned, people[asked]
                run.must(
                    got != asked or got == right,
                    f"it returned {asked}: that is the number inside. Outside, it is "
                    "somebody else's or nobody's",
                )
                run.must(
                    got not in _people(neighbours.pid).values(),
                    "it returned a process of the neighbour, who has the same numbers. "
                    "Which file says in which PID namespace a process is?",
                )
                run.must(
                    got is not None or asked != grandchild,
                    "it found nobody: the process asked for is no child of PID 1, but "
                    "a child's child",
                )
                run.must(
                    got == right, f"it returned {run.shown}, which isn't that process"
                )
        return run.saw("it found the host's number of every process that was asked for")


def check_become_root(become_root: BecomeRoot, case: Case) -> Saw:
    """Ask a user of a number made up just now to become root, of a namespace."""
    uid, gid = case.seed.number(2000, 50000), case.seed.number(2000, 50000)
    rehearsed = rehearse(become_root, uid, gid)
    rehearsed.must(
        "unshare" in rehearsed.names, "no new namespace: which call makes one?"
    )
    first = Plan(step(_be_user, uid, gid))
    with attempt(become_root, uid, gid, first=first) as run:
        run.must(
            NamespaceType.USER in Namespaces.of(run.pid) - Namespaces.of("self"),
            "your process is still in the host's user namespace",
        )
        for name, own in (("uid_map", uid), ("gid_map", gid)):
            lines = Path(f"/proc/{run.pid}/{name}").read_text().split()
            run.must(lines, f"{name} is empty: nobody has said who 0 is")
            run.must(
                lines == ["0", str(own), "1"],
                f"{name} says {' '.join(lines)}; the line has three numbers: inside, "
                "outside, how many",
            )
        return run.saw("0 inside, an ordinary user outside, for user and group")


@contextmanager
def _family(size: int) -> Iterator[Child]:
    plan = Plan(Unshare(CLONE.NEWPID), Fork(), step(_have_children, size))
    with plan.fork() as child:
        child.run()
        yield child


def _have_children(linux: Linux, size: int) -> None:
    # The last one has a child itself, and the pipe tells when it is there.
    ready, told = os.pipe()
    for number in range(size):
        if linux.fork() == 0:
            if number == size - 1 and linux.fork() == 0:
                os.write(told, b".")
            while True:
                signal.pause()
    os.read(ready, 1)


def _people(first: HostPid) -> dict[ContainerPid, HostPid]:
    me = proc.process(first)
    found = {ContainerPid(me.pids[-1]): me.pid}
    for child in proc.children(first):
        found |= _people(child.pid)
    return found


def _be_user(linux: Linux, uid: int, gid: int) -> None:
    linux.setgroups([])
    linux.setresgid(gid, gid, gid)
    linux.setresuid(uid, uid, uid)
    linux.prctl(PR.SET_DUMPABLE, 1)  # or Linux guards its /proc files against itself


PID_OUTSIDE = Task(
    id="04.2",
    sentence="Who is it outside? Find the host's number of a process in a container.",
    points=3,
    level=Level.MEDIUM,
    size="about five lines",
    question=Question(
        "Two containers run, with three processes each. How many of the six are PID 1?",
        ("none", "one", "two"),
    ),
    hints=(
        "Look at proc.process(child.pid).pids of a parked child in a PID namespace: "
        "one number for each namespace that sees it, the host's first.",
        "Everybody in a PID namespace descends from its PID 1: proc.children(pid) "
        "gives a process's children, and those have children, too.",
        "If proc.process(first).pids[-1] == number, it is first itself; otherwise your "
        "function calls itself for each of proc.children(first).",
    ),
    functions=("pid_outside",),
    check=check_pid_outside,
    needs=("namespaces",),
    mistakes=(
        Mistake(
            "returns the number inside",
            """
def pid_outside(linux, first, number):
    return number
""",
            "that is the number inside",
        ),
        Mistake(
            "looks at the whole machine",
            """
def pid_outside(linux, first, number):
    found = [first]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += [int(pid)] * (proc.process(pid).pids[1:] == (number,))
        except LabError:  # it has ended meanwhile
            continue
    return max(found)
""",
            "a process of the neighbour",
        ),
        Mistake(
            "asks the children only",
            """
def pid_outside(linux, first, number):
    for child in proc.children(first):
        if child.pids[-1] == number:
            return child.pid
""",
            "it found nobody",
        ),
    ),
)

BECOME_ROOT = Task(
    id="04.3",
    sentence="Become root without being root: map one user and one group, by hand.",
    points=3,
    level=Level.MEDIUM,
    size="about four lines",
    question=Question(
        "An ordinary user is root in their own user namespace. Whose files are theirs?",
        ("everybody's", "root's", "the ordinary user's, as before"),
    ),
    hints=(
        "Look at /proc/self/uid_map of your notebook: three numbers. Which of them is "
        "the inside, which the outside?",
        "After unshare there are three files to write, each by one linux.write_file: "
        "setgroups, gid_map, uid_map. One of them has to be first.",
        'linux.write_file("/proc/self/setgroups", "deny"), then gid_map and uid_map, '
        'each with "0 <your own number> 1".',
    ),
    functions=("become_root",),
    check=check_become_root,
    needs=("user namespaces", "user namespaces for everybody"),
    mistakes=(
        Mistake(
            "writes gid_map before setgroups is denied",
            """
def become_root(linux, uid, gid):
    linux.unshare(CLONE.NEWUSER)
    linux.write_file("/proc/self/uid_map", f"0 {uid} 1")
    linux.write_file("/proc/self/gid_map", f"0 {gid} 1")
""",
            "denies setgroups first",
        ),
        Mistake(
            "turns inside and outside around",
            """
def become_root(linux, uid, gid):
    linux.unshare(CLONE.NEWUSER)
    linux.write_file("/proc/self/setgroups", "deny")
    linux.write_file("/proc/self/uid_map", f"{uid} 0 1")
    linux.write_file("/proc/self/gid_map", f"{gid} 0 1")
""",
            "these ids aren't yours to map",
        ),
        Mistake(
            "maps users and forgets the groups",
            """
def become_root(linux, uid, gid):
    linux.unshare(CLONE.NEWUSER)
    linux.write_file("/proc/self/uid_map", f"0 {uid} 1")
""",
            "gid_map is empty",
        ),
    ),
)

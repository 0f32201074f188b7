"""Exercise 08: root taken apart. Its third task is in `whose_id`."""

from __future__ import annotations

from collections.abc import Callable

from labkit.course.attempt import ask, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import whose_id
from labkit.course.verdict import Failed, Saw
from labkit.errors import ChildLost, LabError, SyscallError
from labkit.linux import proc
from labkit.linux.flags import CAP, CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Plan, step
from labkit.primitives.capabilities import DOCKER
from labkit.primitives.namespaces import Unshare
from labkit.primitives.seccomp import Filter, LoadSeccomp
from labkit.primitives.seccomp_compiler import compiled

DropPrivileges = Callable[[Linux, tuple[CAP, ...]], None]
DoorKeeper = Callable[[str, int, str], Filter]

_HOW_MANY = 4


def check_drop_privileges(drop_privileges: DropPrivileges, case: Case) -> Saw:
    """Leave four capabilities, chosen just now, to a process and its programs."""
    spare = [cap for cap in DOCKER if cap is not CAP.SETPCAP]
    keep = tuple(sorted(case.seed.shuffled(spare)[:_HOW_MANY]))
    rehearsed = rehearse(drop_privileges, keep)
    rehearsed.must(rehearsed.calls, "no call was made: root has lost nothing")
    with attempt(drop_privileges, keep) as run:
        sets = proc.capabilities_of(run.pid)
        for name in ("effective", "bounding"):
            lost = sorted(set(keep) - sets[name])
            run.must(
                not lost,
                f"{', '.join(map(str, lost))} should be kept, and isn't in the "
                f"{name} set any more",
            )
        run.must(
            sets["bounding"] <= set(keep),
            f"a program that root starts gets {len(sets['bounding'] - set(keep))} of "
            "them back: which set decides that?",
        )
        run.must(
            sets["effective"] <= set(keep),
            "the process itself still has what its programs won't: which call sets "
            "what it has now?",
        )
        return run.saw("four capabilities are left, for it and for what it starts")


def check_door_keeper(door_keeper: DoorKeeper, case: Case) -> Saw:
    """Ask for a filter for calls and a number that were chosen just now."""
    refused, deadly, free = case.seed.shuffled(tuple(_CALLS))
    number = case.seed.number(60, 120)
    rules = ask(door_keeper, refused, number, deadly)
    if not isinstance(rules, Filter):
        raise Failed(f"it returned {rules!r}: a Filter is asked for")
    try:
        keeper = Plan(Unshare(CLONE.NEWNS | CLONE.NEWUTS), LoadSeccomp(compiled(rules)))
    except LabError as error:
        raise Failed(f"the filter can't be compiled: {error.message}") from None
    _must_answer(keeper, refused, number)
    _must_die(keeper, deadly)
    if (answer := _answer(keeper, free)) is not None:
        raise Failed(
            f"{free} was to pass, and the answer was number {answer}: what happens to "
            "calls that no rule names?"
        )
    return Saw(
        "one call gets the answer that was asked for, one is death, the rest passes"
    )


# Calls that do nothing in namespaces of one's own, as long as they are allowed.
_CALLS: dict[str, Callable[[Linux], object]] = {
    "sethostname": lambda linux: linux.sethostname("door"),
    "chroot": lambda linux: linux.chroot("/"),
    "setgroups": lambda linux: linux.setgroups([]),
}


def _answer(keeper: Plan, name: str) -> int | None:
    # The errno that a call gets behind the filter; None when it works.
    with (keeper + step(_CALLS[name])).fork(unchecked=True) as child:
        try:
            child.run()
        except SyscallError as refused:
            return refused.errno
    return None


def _must_answer(keeper: Plan, name: str, number: int) -> None:
    try:
        answer = _answer(keeper, name)
    except ChildLost:
        raise Failed(f"whoever calls {name} dies; an error was asked for") from None
    if answer is None:
        raise Failed(f"{name} works behind your filter: no rule names it")
    if answer != number:
        raise Failed(
            f"{name} fails with number {answer}, and {number} was asked for: where in "
            "a rule does the number go?"
        )


def _must_die(keeper: Plan, name: str) -> None:
    try:
        answer = _answer(keeper, name)
    except ChildLost:
        return
    how = "works" if answer is None else f"fails with number {answer}"
    raise Failed(f"{name} {how}, and whoever calls it lives on")


DROP = Task(
    id="08.1",
    sentence="Take root apart: leave some capabilities, to it and all that it starts.",
    points=3,
    level=Level.MEDIUM,
    size="about four lines",
    question=Question(
        "You set the effective and permitted sets first, without CAP_SETPCAP, and then "
        "shrink the bounding set. What happens?",
        ("it works", "the second is refused", "everything comes back"),
    ),
    hints=(
        "proc.capabilities_of(child.pid) shows all five sets of a parked child.",
        "prctl(PR.CAPBSET_DROP, cap) takes one out of the bounding set, and needs "
        "CAP_SETPCAP; capset sets the others.",
        "For each cap of CAP that isn't in keep: linux.prctl(PR.CAPBSET_DROP, cap). "
        "Then linux.capset(CapabilitySets(kept, kept, frozenset())).",
    ),
    functions=("drop_privileges",),
    check=check_drop_privileges,
    needs=("root",),
    kept=True,
    mistakes=(
        Mistake(
            "leaves the bounding set as it is",
            """
from labkit.linux.structs import CapabilitySets

def drop_privileges(linux, keep):
    kept = frozenset(keep)
    linux.capset(CapabilitySets(kept, kept, frozenset()))
""",
            "a program that root starts gets",
        ),
        Mistake(
            "shrinks the bounding set only",
            """
def drop_privileges(linux, keep):
    for cap in CAP:
        if cap not in keep:
            linux.prctl(PR.CAPBSET_DROP, cap)
""",
            "the process itself still has what its programs won't",
        ),
        Mistake(
            "gives up CAP_SETPCAP too early",
            """
from labkit.linux.structs import CapabilitySets

def drop_privileges(linux, keep):
    kept = frozenset(keep)
    linux.capset(CapabilitySets(kept, kept, frozenset()))
    for cap in CAP:
        if cap not in keep:
            linux.prctl(PR.CAPBSET_DROP, cap)
""",
            "PR_CAPBSET_DROP",
        ),
        Mistake(
            "drops what was to be kept",
            """
def drop_privileges(linux, keep):
    for cap in keep:
        linux.prctl(PR.CAPBSET_DROP, cap)
""",
            "should be kept, and isn't in the bounding set",
        ),
    ),
)

DOOR = Task(
    id="08.2",
    sentence="Write a filter: one call gets an answer, one is deadly, the rest passes.",
    points=3,
    level=Level.MEDIUM,
    size="about five lines",
    question=Question(
        "A program asks for a call that your filter answers with 0 as its errno. What "
        "does the program believe?",
        ("that the call has failed", "that it has worked", "nothing: it is killed"),
    ),
    hints=(
        "A Filter has a default action, and rules; look at no_mkdir in the chapter.",
        "SCMP_ACT_ALLOW, SCMP_ACT_ERRNO (with a number) and SCMP_ACT_KILL_PROCESS.",
        'Filter("SCMP_ACT_ALLOW", rules=(CallRule((refused,), "SCMP_ACT_ERRNO", '
        "number), ...)), and a second CallRule for the deadly one.",
    ),
    functions=("door_keeper",),
    check=check_door_keeper,
    needs=("root",),
    mistakes=(
        Mistake(
            "forgets the number",
            """
from labkit.primitives.seccomp import CallRule, Filter

def door_keeper(refused, number, deadly):
    rules = (CallRule((refused,), "SCMP_ACT_ERRNO"),
             CallRule((deadly,), "SCMP_ACT_KILL_PROCESS"))
    return Filter("SCMP_ACT_ALLOW", rules=rules)
""",
            "where in a rule does the number go?",
        ),
        Mistake(
            "lets the deadly one live",
            """
from labkit.primitives.seccomp import CallRule, Filter

def door_keeper(refused, number, deadly):
    rules = (CallRule((refused, deadly), "SCMP_ACT_ERRNO", number),)
    return Filter("SCMP_ACT_ALLOW", rules=rules)
""",
            "whoever calls it lives on",
        ),
        Mistake(
            "kills for both",
            """
from labkit.primitives.seccomp import CallRule, Filter

def door_keeper(refused, number, deadly):
    rules = (CallRule((refused, deadly), "SCMP_ACT_KILL_PROCESS"),)
    return Filter("SCMP_ACT_ALLOW", rules=rules)
""",
            "an error was asked for",
        ),
        Mistake(
            "returns the rules without a filter",
            """
from labkit.primitives.seccomp import CallRule, Filter

def door_keeper(refused, number, deadly):
    return (CallRule((refused,), "SCMP_ACT_ERRNO", number),)
""",
            "a Filter is asked for",
        ),
    ),
)

EXERCISE = Exercise(
    chapter="08",
    title="Privileges",
    text="Three tasks: root in pieces, a filter, and the name of a number.",
    notebook="08_privileges.ipynb",
    tasks=(DROP, DOOR, whose_id.WHOSE_ID),
)

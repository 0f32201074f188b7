"""A learner's function, tried out: once rehearsed, once on Linux. Both in a child.

    rehearsed = rehearse(function, ...)       no call is made; no privilege needed
    with attempt(function, ...) as run:       in a real child, which is then parked
        run.must(...)                         evidence, read here: another process
        return run.saw("...")                 what a check returns

Both end in bounded time, whatever the function does: the child's family is killed.
What went wrong in the function itself ends the check with a message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.course.deadline import deadline
from labkit.course.verdict import Failed, NotAttempted, Saw, Stage
from labkit.course.witness import Asked, Notes, Rehearsed, Witnessed, notes_in
from labkit.errors import ChildLost, error_from_json
from labkit.host import Host
from labkit.linux.call import Call
from labkit.linux.flags import CAP, CLONE
from labkit.linux.views import HostPid
from labkit.plan import Child, FunctionStep, Plan
from labkit.primitives.idmap import steps_for
from labkit.primitives.namespaces import Unshare

YOUR_TURN = "your turn"
REHEARSAL_S = 5.0
ATTEMPT_S = 20.0
_A_PARENTS_ANSWER = 2  # from fork, on the recorder: some pid
_GRACE_S = 0.3


@dataclass(frozen=True, slots=True)
class Run:
    """A function that was run: the calls it made, and what it returned."""

    stage: Stage
    notes: Notes
    child: Child | None = field(default=None, repr=False)

    @property
    def calls(self) -> tuple[Call, ...]:
        return self.notes.calls

    @property
    def names(self) -> list[str]:
        """The names of the calls, in order."""
        return [call.name for call in self.calls]

    @property
    def returned(self) -> Any:
        return self.notes.ending.get("returned")

    @property
    def shown(self) -> str:
        """What it returned, as Python writes it."""
        return str(self.notes.ending.get("shown", "nothing"))

    @property
    def became(self) -> bool:
        """Whether execve ended the rehearsal: of the parent, where there was a fork."""
        return "became" in self.notes.ending

    @property
    def pid(self) -> HostPid:
        """The process that the function changed, parked."""
        assert self.child is not None, "a rehearsal has no process"
        return self.child.pid

    def must(self, condition: object, otherwise: str) -> None:
        """End the check as failed, with a sentence, unless a condition holds."""
        if not condition:
            raise self.failed(otherwise)

    def failed(self, observed: str) -> Failed:
        """Return the failure of this run, to be raised."""
        failed = Failed(observed, self.stage)
        failed.calls, failed.said = self.calls, self.notes.said
        return failed

    def saw(self, observed: str) -> Saw:
        """Return what a check returns when all is well."""
        return Saw(observed, self.calls, self.notes.said)


def rehearse(
    function: Callable[..., Any],
    *args: Any,
    files: Mapping[str, str] | None = None,
    seconds: float = REHEARSAL_S,
) -> Run:
    """Run a function on the recorder; where it forks, as the child and as the parent.

    Args: args [what it gets after `linux`]; files [path to text: what reading finds].
    Raises: NotAttempted, or Failed when it raises or doesn't end.
    """
    must_be_attempted(function)
    step = Rehearsed(function, args, files=dict(files or {}))
    notes = _notes_of(step, seconds)
    if "fork" in [call.name for call in notes.calls]:
        parent = _notes_of(replace(step, fork_answers=_A_PARENTS_ANSWER), seconds)
        common = [call.name for call in parent.calls].index("fork") + 1
        notes = replace(parent, calls=notes.calls + parent.calls[common:])
    return _looked_at(Run(Stage.REHEARSAL, notes), seconds)


@contextmanager
def attempt(
    function: Callable[..., Any],
    *args: Any,
    first: Plan | None = None,
    seconds: float = ATTEMPT_S,
) -> Iterator[Run]:
    """Run a function in a real child, which stays parked in the `with` block.

    Args: args [what it gets after `linux`]; first [steps of the lab's before it].
    Raises: NotAttempted, or Failed when it raises, doesn't end, or doesn't come back.
    """
    must_be_attempted(function)
    steps = first or Plan()
    with Plan(steps, Witnessed(function, args)).fork(unchecked=True) as child:
        for _ in steps.steps:
            child.next()
        notes = _apply(child, seconds)
        yield _looked_at(Run(Stage.LINUX, notes, child), seconds)


def as_root(host: Host) -> Plan:
    """Return the steps after which the inside may do what root may.

    None for root; for an ordinary user, a user namespace in which it is root. For
    `first=` of an attempt whose function needs a capability.
    """
    if host.privilege.has(CAP.SYS_ADMIN):
        return Plan()
    return Plan(Unshare(CLONE.NEWUSER), *steps_for(host))


def ask(function: Callable[..., Any], *args: Any, seconds: float = REHEARSAL_S) -> Any:
    """Return what a function makes that gets no `linux`: a plan, for instance.

    It is tried in a child first, so that one that never ends does no harm here.

    Raises: NotAttempted, or Failed when it raises or doesn't end.
    """
    must_be_attempted(function)
    notes = _notes_of(Asked(function, args), seconds)
    _looked_at(Run(Stage.NONE, notes), seconds)
    return function(*args)


def _notes_of(step: FunctionStep, seconds: float) -> Notes:
    with Plan(step).fork(unchecked=True) as child:
        return _apply(child, seconds)


def _apply(child: Child, seconds: float) -> Notes:
    with deadline(child.pid, seconds) as late:
        try:
            child.next()
        except ChildLost:
            lost = True  # killed, or it left on its own: the notes tell how far it got
        else:
            lost = False
    notes = _settled_notes(child)
    if notes.ending and not late.is_set():
        return notes
    # A process that left with os._exit looks like one that became a program.
    lost = lost or "execve" not in [call.name for call in notes.calls]
    how = "late" if late.is_set() else "lost" if lost else "became"
    return replace(notes, ending={how: True})


def _settled_notes(child: Child) -> Notes:
    # Nobody waits for a copy that the function forgot: its note may come a bit later.
    real = isinstance(child.steps[-1], Witnessed)
    deadline = time.monotonic() + (_GRACE_S if real else 0)
    while not (notes := notes_in(child.output)).settled:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return notes


def must_be_attempted(function: Any) -> None:
    """Raise NotAttempted for an empty function or none; Failed for no function."""
    if function is None or function is ... or _does_nothing(function):
        raise NotAttempted(YOUR_TURN)
    if not callable(function):
        raise Failed(f"your answer is no function, but {function!r}")


def is_skeleton(function: Any) -> bool:
    """Say whether a function still raises NotImplementedError("your turn")."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    return YOUR_TURN in code.co_consts and "NotImplementedError" in code.co_names


def _does_nothing(function: Any) -> bool:
    # A body of `...` or `pass`, with or without a docstring, compiles to one of these.
    # `return True` does, too, with another constant at the end.
    code = getattr(function, "__code__", None)
    if code is None or code.co_code not in (_empty(), _documented()):
        return False
    return code.co_consts[-1] is None


def _empty() -> bytes:
    def nothing() -> None: ...

    return nothing.__code__.co_code


def _documented() -> bytes:
    def nothing() -> None:
        """Do nothing."""

    return nothing.__code__.co_code


def _looked_at(run: Run, seconds: float) -> Run:
    ending = run.notes.ending
    if "unfinished" in ending:
        raise NotAttempted(YOUR_TURN)
    if "late" in ending:
        last = f"; its last call was {run.notes.last}" if run.notes.last else ""
        raise run.failed(f"it had not ended after {seconds:g} seconds{last}")
    if "refused_call" in ending:
        error = error_from_json(ending["refused_call"])
        why = f": {error.meaning}" if error.meaning else ""
        raise run.failed(f"{error.message}{why} (line {ending['line']})")
    if "raised" in ending:
        raise run.failed(f"{ending['raised']} (line {ending['line']})")
    if run.stage is Stage.LINUX and "became" in ending:
        raise run.failed(
            "your function did not come back: execve put a program in the place of the "
            "very process that called it"
        )
    if "lost" in ending:
        raise run.failed("the process ended inside your function")
    if any("returned" in copy for copy in run.notes.copies):
        raise run.failed(
            "your function came back twice: the copy that fork made returned from it, "
            "too, instead of becoming a program"
        )
    return run

"""Plan: an ordered tuple of steps. Printing it changes nothing. Chapter 01.

Plan(Unshare(CLONE.NEWUTS), SetHostname("box"))     a value
plan.check()      refuses a wrong order and says why
plan.reasons()    each step, and why it stands where it does
plan.rehearse()   the calls that it would make
plan.fork()       a Child, parked before step 1
plan.run()        fork, all steps, wait: for plans that end in Exec
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.errors import OrderError, StateError
from labkit.linux.call import Call
from labkit.plan.events import Result
from labkit.plan.step import Step, matches
from labkit.text import Text

if TYPE_CHECKING:
    from labkit.plan.child import Child, OnEvent


class Plan:
    """Steps in the order in which they are applied."""

    __slots__ = ("steps",)

    def __init__(self, *steps: Step | Plan) -> None:
        flat: list[Step] = []
        for part in steps:
            flat.extend(part.steps if isinstance(part, Plan) else [part])
        for number, step in enumerate(flat, 1):
            if not isinstance(step, Step):
                raise TypeError(f"part {number} of the plan is no step: {step!r}")
        self.steps: tuple[Step, ...] = tuple(flat)

    def __repr__(self) -> str:
        return self.text()

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.steps == other.steps

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Step | Plan) -> Plan:
        return Plan(self, other)

    def __sub__(self, other: Plan) -> tuple[Step, ...]:
        """Return the steps of this plan that the other doesn't have."""
        return tuple(step for step in self.steps if step not in other.steps)

    def without(self, kind: type[Step]) -> Plan:
        """Return the plan without the steps of one type: to see what they stopped."""
        return Plan(*(step for step in self.steps if not isinstance(step, kind)))

    def text(self) -> Text:
        """Return the plan as a numbered list, one line a step."""
        if not self.steps:
            return Text("an empty plan")
        lines = [f"{n:2}. {step.describe()}" for n, step in enumerate(self.steps, 1)]
        return Text("\n".join(lines))

    def why(self) -> Text:
        """Return what is wrong with the order, a sentence each; or that nothing is."""
        return Text("\n".join(self._violations()) or "the order is right")

    def reasons(self) -> Text:
        """Return the plan, and below a step why it stands where it does: each once."""
        lines: list[str] = []
        for index, step in enumerate(self.steps):
            others = Plan(*self.steps[:index], *self.steps[index + 1 :])
            lines.append(f"{index + 1:2}. {step.describe()}")
            told = [f"      {reason}" for reason in others._reasons_of(step)]
            lines += [line for line in told if line not in lines]
        return Text("\n".join(lines))

    def check(self) -> None:
        """Refuse a wrong order.

        Raises: OrderError with the stored reason of every rule that is broken.
        """
        violations = self._violations()
        if violations:
            raise OrderError(
                violations[0],
                "change the order; fork(unchecked=True) runs it as it is",
                meaning=" ".join(violations[1:]),
            )

    def rehearse(self) -> tuple[Call, ...]:
        """Return the system calls that the plan would make, without making one."""
        from labkit.linux.trace import Recorder

        recorder = Recorder()
        for step in self.steps:
            step.apply(recorder)
        return tuple(recorder.calls)

    def fork(
        self, *, unchecked: bool = False, on_event: OnEvent | None = None
    ) -> Child:
        """Start a child for this plan, parked before its first step.

        Args: unchecked [True runs a wrong order, for lessons]; on_event [called with
            each event].
        Raises: OrderError for a wrong order; WrongProcess in a background thread.
        """
        if not unchecked:
            self.check()
        # Only here, because who launches a plan without a notebook doesn't need it.
        from labkit.plan.child import Child

        return Child(self.steps, on_event)

    def run(
        self,
        *,
        unchecked: bool = False,
        on_event: OnEvent | None = None,
        timeout_s: float | None = 60,
    ) -> Result:
        """Apply all steps and wait for the last one's program; return what it said.

        Raises: what fork, a step or wait raises; StateError when the last step starts
            no program.
        """
        if not self.steps or not self.steps[-1].replaces:
            raise StateError(
                "this plan starts no program, so there is nothing to wait for",
                "end it with Exec([...]), or use fork()",
            )
        with self.fork(unchecked=unchecked, on_event=on_event) as child:
            child.run()
            ended = child.wait(timeout_s)
            return Result(ended, child.output)

    def _reasons_of(self, step: Step) -> list[str]:
        # The rules that are about a step which is there, without the step's own name.
        there = [part for other in self.steps for part in other.parts]
        told = [
            rule.sentence(part).removeprefix(f"{type(part).__name__} ")
            for part in step.parts
            for rule in part.rules
            if any(matches(rule.other, other) for other in there)
        ]
        return list(dict.fromkeys(told))

    def _violations(self) -> list[str]:
        found = []
        parts = tuple(part for step in self.steps for part in step.parts)
        for index, part in enumerate(parts):
            earlier, later = parts[:index], parts[index + 1 :]
            broken = [rule for rule in part.rules if rule.broken(earlier, later)]
            found += [rule.sentence(part) for rule in broken]
        return list(dict.fromkeys(found))

"""Together: steps that belong together, as one step of a plan. Chapter 07."""

from __future__ import annotations

from labkit.linux.syscalls import Linux
from labkit.plan.plan import Plan
from labkit.plan.step import Step
from labkit.values import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Together(Step):
    """Apply some steps one after the other; to the plan they are one step.

    So a long plan is read at a glance, and its event has the calls of all of them. None
    of them may fork or start a program.

    Args: title [what they do, in words]; steps.
    Raises: what the steps raise; those after it are not applied.
    """

    title: str
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, title: str, *steps: Step | Plan) -> Together:
        """Return steps and whole plans as one step."""
        return cls(title, Plan(*steps).steps)

    @property
    def parts(self) -> tuple[Step, ...]:
        """The steps that it is made of."""
        return tuple(part for one in self.steps for part in one.parts)

    def describe(self) -> str:
        return self.title

    def apply(self, linux: Linux) -> int | None:
        for one in self.steps:
            one.apply(linux)
        return None

    def __repr__(self) -> str:
        return f"Together({self.title!r}, {len(self.steps)} steps)"

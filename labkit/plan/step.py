"""Step: one small change to a process, as a value. Chapter 01.

A step is a frozen dataclass. It can say what it will do (`describe`), do it
(`apply(linux)`), and it knows, as class facts, its man pages, the capability it needs,
which process applies it, and what must come before or after it and why.

Reading order: Where, Rule (After, Requires, FollowedBy, Before), Step, FunctionStep.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar

from labkit.linux.syscalls import Linux
from labkit.values import dataclass, field, field_names


class Where(StrEnum):
    """Which of a child's two processes applies a step."""

    INSIDE = "inside"  # the process that becomes the container
    OUTSIDE = "outside"  # its parent, which stays in the original namespaces


@dataclass(frozen=True, slots=True)
class Rule:
    """An order constraint and its reason.

    `other` is a step type, or an example: Unshare(CLONE.NEWNS) means any Unshare that
    does at least that.
    """

    other: type[Step] | Step
    reason: str

    def broken(self, earlier: tuple[Step, ...], later: tuple[Step, ...]) -> bool:
        raise NotImplementedError

    def sentence(self, step: Step) -> str:
        raise NotImplementedError

    @property
    def _other_name(self) -> str:
        return self.other.__name__ if isinstance(self.other, type) else repr(self.other)

    def _among(self, steps: tuple[Step, ...]) -> bool:
        return any(matches(self.other, step) for step in steps)


class After(Rule):
    """Where both are in a plan, the other comes first."""

    def broken(self, earlier: tuple[Step, ...], later: tuple[Step, ...]) -> bool:
        return self._among(later) and not self._among(earlier)

    def sentence(self, step: Step) -> str:
        return (
            f"{type(step).__name__} must come after {self._other_name}: {self.reason}"
        )


class Requires(Rule):
    """The other must have come before."""

    def broken(self, earlier: tuple[Step, ...], later: tuple[Step, ...]) -> bool:
        return not self._among(earlier)

    def sentence(self, step: Step) -> str:
        return (
            f"{type(step).__name__} needs {self._other_name} before it: {self.reason}"
        )


class FollowedBy(Rule):
    """The other must come later."""

    def broken(self, earlier: tuple[Step, ...], later: tuple[Step, ...]) -> bool:
        return not self._among(later)

    def sentence(self, step: Step) -> str:
        return f"{self._other_name} must follow {type(step).__name__}: {self.reason}"


class Before(Rule):
    """Where both are in a plan, the other comes later."""

    def broken(self, earlier: tuple[Step, ...], later: tuple[Step, ...]) -> bool:
        return self._among(earlier)

    def sentence(self, step: Step) -> str:
        return (
            f"{type(step).__name__} must come before {self._other_name}: {self.reason}"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One change to a process. Subclasses add fields, `describe` and `apply`."""

    man: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str] = ""
    where: ClassVar[Where] = Where.INSIDE
    rules: ClassVar[tuple[Rule, ...]] = ()
    replaces: ClassVar[bool] = False
    """True for a step after which another program sits in the inside process."""
    forks: ClassVar[bool] = False
    """True for a step after which the inside is a new process, the old one's child."""
    meanwhile: ClassVar[bool] = False
    """True for a step outside that may take its time: the inside goes on meanwhile."""

    def describe(self) -> str:
        """Return one line that says what the step changes, in the kernel's words."""
        raise NotImplementedError

    def apply(self, linux: Linux) -> int | None:
        """Make the change, by calls on `linux` and nothing else.

        Returns None, except for a step that forks: the new process's pid in the old
        process, which then has done its part, and 0 in the new one, which goes on.
        """
        raise NotImplementedError

    def covers(self, example: Step) -> bool:
        """Say whether this step does at least what an example in a rule does."""
        return self == example

    @property
    def parts(self) -> tuple[Step, ...]:
        """The steps whose rules hold for it: itself, or those that it is made of."""
        return (self,)

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        given = (getattr(self, name) for name in field_names(self))
        return f"{type(self).__name__}({', '.join(map(_shown, given))})"


@dataclass(frozen=True, slots=True, repr=False)
class FunctionStep(Step):
    """A learner's own function as a step: it gets `linux`, then its arguments."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        first_line = (self.function.__doc__ or "").strip().partition("\n")[0]
        return f"{self.function.__name__}: {first_line or 'your own step'}"

    def apply(self, linux: Linux) -> int | None:
        self.function(linux, *self.args, **self.kwargs)
        return None

    def __repr__(self) -> str:
        shown = [_shown(arg) for arg in self.args]
        shown += [f"{name}={_shown(value)}" for name, value in self.kwargs.items()]
        return f"{self.function.__name__}({', '.join(['linux', *shown])})"


def step(function: Callable[..., Any], *args: Any, **kwargs: Any) -> FunctionStep:
    """Return a function of yours, with its arguments after `linux`, as a step."""
    return FunctionStep(function, args, kwargs)


def matches(pattern: type[Step] | Step, candidate: Step) -> bool:
    """Say whether a step is of a type, or does at least what an example does."""
    if isinstance(pattern, type):
        return isinstance(candidate, pattern)
    return candidate.covers(pattern)


def _shown(value: object) -> str:
    return (
        str(value)
        if isinstance(value, int) and not isinstance(value, bool)
        else repr(value)
    )

"""Verdict: how a check ended, in one of five words. Only "passed" counts.

passed              the state that was asked for was seen
failed              it wasn't; `observed` says what was seen instead
not attempted       the skeleton is untouched
not possible here   this machine doesn't let it be tried
broken              the check itself failed: the lab's fault, not yours
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from labkit.errors import LabError
from labkit.linux.call import Call


class Word(StrEnum):
    """The five words."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ATTEMPTED = "not attempted"
    NOT_POSSIBLE = "not possible here"
    BROKEN = "broken"


class Stage(StrEnum):
    """Which of a check's two runs a verdict is about."""

    NONE = ""
    REHEARSAL = "in the rehearsal"  # on the recorder: nothing is done
    LINUX = "on Linux"  # in a child, for real


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """What a check found. Its repr is one line, the same in every run."""

    word: Word
    exercise: str  # "02.1"
    observed: str
    points: int = 0  # what the task is worth
    stage: Stage = Stage.NONE
    hints: tuple[str, ...] = ()
    calls: tuple[Call, ...] = field(default=(), compare=False)  # of the last run
    said: str = field(default="", compare=False)  # what the learner's code printed
    trouble: str = field(default="", compare=False)  # a broken check's traceback

    def __repr__(self) -> str:
        where = f", {self.stage}" if self.stage else ""
        return f"{self.exercise} {self.word}{self._score()}{where}: {self.observed}"

    @property
    def passed(self) -> bool:
        return self.word is Word.PASSED

    @property
    def earned(self) -> int:
        return self.points if self.passed else 0

    @property
    def hint(self) -> str:
        """The first hint, for a learner who isn't there yet; "" after that."""
        wanted = self.word in (Word.FAILED, Word.NOT_ATTEMPTED)
        return self.hints[0] if wanted and self.hints else ""

    def text(self) -> str:
        """Return the verdict in full: the line, the calls, what the code printed."""
        parts = [
            repr(self),
            *(f"      {call!r}" for call in self.calls),
            f"it printed:\n{self.said}" if self.said else "",
            self.trouble,
        ]
        return "\n".join(part.rstrip() for part in parts if part)

    def _score(self) -> str:
        counted = self.word not in (Word.NOT_POSSIBLE, Word.BROKEN)
        unit = "point" if self.points == 1 else "points"
        return f" ({self.earned}/{self.points} {unit})" if counted else ""


@dataclass(frozen=True, slots=True)
class Saw:
    """What a check that passes returns: a sentence, and the run that it is about."""

    observed: str
    calls: tuple[Call, ...] = ()
    said: str = ""


class NotPassed(LabError):
    """A check that had to pass didn't: raised where LABKIT_CHECK=strict is set."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(repr(verdict), verdict.hint)
        self.verdict = verdict
        if verdict.trouble:
            self.add_note(verdict.trouble)


class Refused(Exception):
    """Raised inside a check to end it with a word; `judge` makes a verdict of it."""

    word = Word.FAILED

    def __init__(self, observed: str, stage: Stage = Stage.NONE) -> None:
        super().__init__(observed)
        self.observed, self.stage = observed, stage
        self.calls: tuple[Call, ...] = ()
        self.said = ""


class Failed(Refused):
    """The state that was asked for wasn't seen."""


class NotAttempted(Refused):
    """The skeleton is untouched."""

    word = Word.NOT_ATTEMPTED


class NotPossible(Refused):
    """The machine doesn't let it be tried."""

    word = Word.NOT_POSSIBLE

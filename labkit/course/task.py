"""Exercise, Task, Mistake: what a learner is asked, as data.

An exercise belongs to a chapter and has tasks; a task has a check and the mistakes that
people make in it. `labkit.course` says how one is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from labkit.course.seed import Seed
from labkit.course.verdict import Saw
from labkit.host import Host
from labkit.linux.views import HostPath

Answer = Callable[..., Any]


class Level(StrEnum):
    """How hard a task is."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Case:
    """What one run of a check works with."""

    seed: Seed
    host: Host
    folder: HostPath  # its own, empty, removed afterwards with all that is in it


Check = Callable[[Any, Case], Saw]
"""Gets the learner's function (or a tuple of them) and a case; returns what it saw."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prediction, asked before the code is written."""

    text: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer that people give, and a part of the message that it must get."""

    name: str  # "forgets chdir"
    source: str
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing to do.

    The names in `functions` are those that the answer cell defines; with `kept`, they
    go to my_container.py when the check passes.
    """

    id: str  # "02.1"
    sentence: str
    points: int
    level: Level
    size: str  # "about three lines"
    question: Question
    hints: tuple[str, str, str]  # where to look, which call, the shape of the answer
    functions: tuple[str, ...]
    check: Check
    needs: tuple[str, ...] = ()  # names of the doctor's needs in this chapter
    kept: bool = False
    mistakes: tuple[Mistake, ...] = ()

    @property
    def chapter(self) -> str:
        return self.id.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Exercise:
    """The tasks of one chapter."""

    chapter: str
    title: str
    text: str
    notebook: str  # "02_chroot.ipynb", in solutions/ and exercises/
    tasks: tuple[Task, ...]

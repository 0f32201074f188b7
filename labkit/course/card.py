"""An exercise with how far the learner is: what its card shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.course import progress
from labkit.course.task import Exercise, Task


@dataclass(frozen=True, slots=True)
class CardTask:
    """A task, and how far the learner is with it."""

    id: str
    sentence: str
    points: int
    verdict: str | None  # None before any check
    observed: str
    hints: Sequence[str]


@dataclass(frozen=True, slots=True)
class Card:
    """An exercise; `notebook` is relative to a chapter."""

    title: str
    text: str
    notebook: str
    tasks: Sequence[CardTask]


def card_of(exercise: Exercise) -> Card:
    """Return an exercise as its card shows it now."""
    rows = tuple(map(_task, exercise.tasks))
    return Card(
        exercise.title, exercise.text, f"../exercises/{exercise.notebook}", rows
    )


def _task(task: Task) -> CardTask:
    standing = progress.standing(task.id)
    word = None if standing.word is None else str(standing.word)
    return CardTask(
        task.id, task.sentence, task.points, word, standing.observed, task.hints
    )

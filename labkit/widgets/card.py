"""ExerciseCard: what to do, how far you are, and a ladder of hints.

A chapter shows the card of its exercise, and the exercise's notebook shows it again. It
is plain HTML, no live view: it stays in a saved notebook as it is, its link opens the
exercise in JupyterLab, and each hint is a fold inside the hint before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from labkit.widgets.html import Html, card, chip, icon, join, page, tag

VERDICTS = {  # word -> the colour of its meaning, its sign
    "passed": ("memory", "check"),
    "failed": ("limit", "cross"),
    "not attempted": ("", ""),
    "not possible here": ("copy", "lock"),
    "broken": ("limit", "opaque"),
}


class Task(Protocol):
    """One task, as far as its picture needs it; `verdict` is None before any check."""

    @property
    def id(self) -> str: ...
    @property
    def sentence(self) -> str: ...
    @property
    def points(self) -> int: ...
    @property
    def verdict(self) -> str | None: ...
    @property
    def observed(self) -> str: ...
    @property
    def hints(self) -> Sequence[str]: ...


class Exercise(Protocol):
    """An exercise; `notebook` is relative to the notebook that shows the card."""

    @property
    def title(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def notebook(self) -> str: ...
    @property
    def tasks(self) -> Sequence[Task]: ...


class ExerciseCard:
    """The picture of an exercise."""

    def __init__(self, exercise: Exercise) -> None:
        self._exercise = exercise

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the exercise as text: its tasks, their verdicts, what was observed."""
        head = [f"{self._exercise.title} ({self._score()})", self._exercise.text]
        return "\n".join([*head, *map(_task_text, self._exercise.tasks)])

    def picture(self) -> Html:
        """Return the card."""
        shown = self._exercise
        words = tag("span", icon("open"), " Open exercise")
        link = tag("a", words, href=shown.notebook, class_="button main")
        done, points = self._points()
        return card(
            "exercise",
            shown.title,
            shown.text,
            tag("ul", join(map(_task, shown.tasks)), class_="tasks"),
            tag("progress", value=done, max=points, aria_label=self._score()),
            tag("div", link, class_="actions") if shown.notebook else None,
            side=chip(self._score(), "memory" if done == points else ""),
        )

    def _repr_html_(self) -> str:
        return page(self.picture())

    def _points(self) -> tuple[int, int]:
        tasks = self._exercise.tasks
        done = sum(task.points for task in tasks if task.verdict == "passed")
        return done, sum(task.points for task in tasks)

    def _score(self) -> str:
        done, points = self._points()
        return f"{done} of {points} points"


def verdict_chip(word: str) -> Html:
    """Return a verdict's word with its colour and sign."""
    meaning, sign = VERDICTS[word]
    return chip(word, meaning, sign)


def hint_ladder(hints: Sequence[str], first: int = 0) -> Html | None:
    """Return the hints, each folded inside the one before it."""
    if first == len(hints):
        return None
    label = tag("summary", f"Hint {first + 1} of {len(hints)}")
    rest = hint_ladder(hints, first + 1)
    return tag("details", label, tag("p", hints[first]), rest, class_="hint")


def _task(task: Task) -> Html:
    points = f"{task.points} point" + ("" if task.points == 1 else "s")
    word = task.verdict or "not attempted"
    head = [
        tag("span", task.sentence),
        " ",
        tag("span", points, class_="note"),
        " ",
        verdict_chip(word),
    ]
    seen = (
        tag("p", f"Observed: {task.observed}", class_="seen") if task.observed else None
    )
    hints = hint_ladder(task.hints) if word != "passed" else None
    return tag("li", tag("div", *head, class_="task"), seen, hints)


def _task_text(task: Task) -> str:
    seen = f" ({task.observed})" if task.observed else ""
    return f"- {task.sentence}: {task.verdict or 'not attempted'}{seen}"

"""The exercises, a module for each chapter. `labkit.course` says how one is written."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from labkit.course.task import Exercise, Task
from labkit.errors import DocumentError

# In the order of the chapters; the first is chapter 01's.
_MODULES = (
    "process",
    "root",
    "cgroups",
    "namespaces",
    "mounts",
    "overlay",
    "container",
    "privileges",
    "runtime",
    "break_out",
    "images",
    "registries",
    "networks",
    "data",
)


def exercises() -> Iterator[Exercise]:
    """Yield every exercise; each is imported when its turn comes.

    So the first chapters don't wait for what the last ones import.
    """
    for name in _MODULES:
        found: Exercise = importlib.import_module(f"{__name__}.{name}").EXERCISE
        yield found


def exercise(chapter: str) -> Exercise:
    """Return the exercise of a chapter: "02".

    Raises: DocumentError when there is none.
    """
    for found in exercises():
        if found.chapter == chapter:
            return found
    known = ", ".join(one.chapter for one in exercises())
    raise DocumentError(
        f'exercise "{chapter}": no such exercise',
        'two digits, as in lab.card("02")',
        meaning=f"there are {known}",
    )


def task(id: str) -> Task:
    """Return a task: "02.1".

    Raises: DocumentError when there is none.
    """
    there = exercise(id.partition(".")[0])
    for found in there.tasks:
        if found.id == id:
            return found
    known = ", ".join(one.id for one in there.tasks)
    raise DocumentError(
        f'task "{id}": no such task',
        "look at the exercise's card",
        meaning=f"chapter {there.chapter} has {known}",
    )

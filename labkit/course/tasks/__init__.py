"""The exercises, a module for each chapter. `labkit.course` says how one is written."""

from __future__ import annotations

from labkit.course.task import Exercise, Task
from labkit.course.tasks.break_out import EXERCISE as BREAK_OUT
from labkit.course.tasks.cgroups import EXERCISE as CGROUPS
from labkit.course.tasks.container import EXERCISE as YOUR_FIRST_CONTAINER
from labkit.course.tasks.data import EXERCISE as DATA_THAT_STAYS
from labkit.course.tasks.images import EXERCISE as IMAGES
from labkit.course.tasks.mounts import EXERCISE as PIVOT_ROOT
from labkit.course.tasks.namespaces import EXERCISE as NAMESPACES
from labkit.course.tasks.networks import EXERCISE as NETWORKS
from labkit.course.tasks.overlay import EXERCISE as OVERLAYFS
from labkit.course.tasks.privileges import EXERCISE as PRIVILEGES
from labkit.course.tasks.process import EXERCISE as A_PROCESS
from labkit.course.tasks.registries import EXERCISE as REGISTRIES
from labkit.course.tasks.root import EXERCISE as CHROOT
from labkit.course.tasks.runtime import EXERCISE as THE_RUNTIME
from labkit.errors import DocumentError

EXERCISES: tuple[Exercise, ...] = (
    A_PROCESS,
    CHROOT,
    CGROUPS,
    NAMESPACES,
    PIVOT_ROOT,
    OVERLAYFS,
    YOUR_FIRST_CONTAINER,
    PRIVILEGES,
    THE_RUNTIME,
    BREAK_OUT,
    IMAGES,
    REGISTRIES,
    NETWORKS,
    DATA_THAT_STAYS,
)


def exercise(chapter: str) -> Exercise:
    """Return the exercise of a chapter: "02".

    Raises: DocumentError when there is none.
    """
    for found in EXERCISES:
        if found.chapter == chapter:
            return found
    known = ", ".join(one.chapter for one in EXERCISES)
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

"""Every check on a real Linux: what is right passes, each mistake gets its own message.

The right answers are those of solutions/; the skeletons are made from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit import doctor
from labkit.course import checking, tasks
from labkit.course.seed import Seed
from labkit.course.skeleton import skeleton_of
from labkit.course.solutions import project, without_markers
from labkit.course.task import Exercise, Mistake, Task
from labkit.course.verdict import Verdict, Word
from labkit.host import Host, Trial, probe
from labkit.linux import flags
from tests.kernel.ordinary_user import as_ordinary_user
from tests.support.skips import need

TASKS = [task for exercise in tasks.exercises() for task in exercise.tasks]
MISTAKES = [(task, mistake) for task in TASKS for mistake in task.mistakes]
SEEDS = ("one", "two", "three")

MODULES = """
import base64, ipaddress, json, os, re, signal, stat, sys
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from labkit.linux import MS, proc
from labkit.linux.flags import MOUNT_ATTR
from labkit.linux.structs import MountAttributes
"""

every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
every_mistake = pytest.mark.parametrize(
    ("task", "mistake"), MISTAKES, ids=[f"{t.id}-{m.name}" for t, m in MISTAKES]
)


@every_mistake
def test_a_mistake_gets_its_own_message(
    task: Task, mistake: Mistake, host: Host
) -> None:
    must_be_possible(task, host)
    found = verdict_on(task, mistake, host)
    assert found.word is Word.FAILED, found.text()
    assert mistake.says in found.observed


@every_task
def test_no_other_mistake_gets_that_message(task: Task, host: Host) -> None:
    must_be_possible(task, host)
    observed = {m: verdict_on(task, m, host).observed for m in task.mistakes}
    mixed = [
        f"{other.name!r} gets the message of {mistake.name!r}"
        for mistake in task.mistakes
        for other, text in observed.items()
        if other is not mistake and mistake.says in text
    ]
    assert mixed == []


@pytest.mark.parametrize("exercise", [*tasks.exercises()], ids=lambda one: one.chapter)
def test_a_chapter_has_tasks_and_mistakes(exercise: Exercise) -> None:
    assert len(exercise.tasks) >= 2
    assert sum(len(task.mistakes) for task in exercise.tasks) >= 2
    assert [task.id for task in exercise.tasks if task.kept] == [
        f"{exercise.chapter}.1"
    ]
    assert all(mistake.says for task in exercise.tasks for mistake in task.mistakes)


@every_task
@pytest.mark.parametrize("seed", SEEDS)
def test_the_solution_passes_whatever_the_seed(
    task: Task, seed: str, host: Host
) -> None:
    must_be_possible(task, host)
    found = verdict_on_solution(task, seed, host)
    assert found.word is Word.PASSED, found.text()


@every_task
def test_passing_says_the_same_whatever_the_seed(task: Task, host: Host) -> None:
    must_be_possible(task, host)
    said = {repr(verdict_on_solution(task, seed, host)) for seed in SEEDS}
    assert len(said) == 1


@every_task
def test_an_ordinary_users_answer_passes_or_is_not_possible(
    task: Task, host: Host, as_root: None
) -> None:
    need("user-namespaces", host.trials.works(Trial.USER_NAMESPACE), "none here")
    answers = answers_in(solution_of(task).read_text(), task)
    said = as_ordinary_user(
        lambda: checking.judge(task, answers, probe(), Seed("one")).text()
    )
    assert said.startswith((f"{task.id} passed", f"{task.id} not possible here")), said


@every_task
def test_the_skeleton_is_not_attempted(task: Task, host: Host) -> None:
    answers = answers_in(skeleton_of(solution_of(task)), task)
    found = checking.judge(task, answers, host, Seed("one"))
    assert found.word is Word.NOT_ATTEMPTED, found.text()


def must_be_possible(task: Task, host: Host) -> None:
    """Skip where this machine lacks what the task needs."""
    report = doctor.examine(host).chapter(task.chapter)
    for finding in report.findings:
        need(f"exercise-{task.id}", finding.need not in task.needs, finding.observed)


@cache
def verdict_on(task: Task, mistake: Mistake, host: Host) -> Verdict:
    """Judge a mistake once."""
    space = surroundings()
    exec(mistake.source, space)
    answers = [space[name] for name in task.functions]
    return checking.judge(task, answers, host, Seed(mistake.name))


@cache
def verdict_on_solution(task: Task, seed: str, host: Host) -> Verdict:
    """Judge a solution once with a seed."""
    answers = answers_in(solution_of(task).read_text(), task)
    return checking.judge(task, answers, host, Seed(seed))


def answers_in(notebook: str, task: Task) -> list[Any]:
    """Return the functions that a notebook's answer cell defines, after its setup."""
    space = surroundings()
    for cell in answering(json.loads(notebook), task):
        exec(without_markers("".join(cell["source"])), space)
    return [space[name] for name in task.functions]


def answering(notebook: dict[str, Any], task: Task) -> Iterator[dict[str, Any]]:
    """Yield the setup cells and the task's answer cell."""
    for cell in notebook["cells"]:
        said = cell["metadata"].get("labkit", {})
        if said.get("role") == "setup" or (
            said.get("role") == "answer" and said.get("ex") == task.id
        ):
            yield cell


def solution_of(task: Task) -> Path:
    """Return the notebook with a task's solution."""
    return project() / "solutions" / tasks.exercise(task.chapter).notebook


def surroundings() -> dict[str, Any]:
    """Return what a mistake's cell finds: the lab's names, the flags, a few modules."""
    space: dict[str, Any] = {"__name__": "__main__"}
    space |= {name: getattr(labkit, name) for name in labkit.__all__}
    space |= {name: value for name, value in vars(flags).items() if name.isupper()}
    exec(MODULES, space)
    return space

"""Every notebook runs from top to bottom, and says what is saved in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from nbclient.exceptions import CellExecutionError

from labkit.course import checking, execution, publish
from tests.notebooks.nbval_run import PROJECT, lab_of_its_own, nbval

SAVED = publish.chapters_and_solutions()
EXERCISES = sorted(publish.exercises())
# On a machine that CI counts on, nothing may be "not possible here".
STRICTNESS = (
    "strict" if os.environ.get("LABKIT_NO_SKIPS") == "1" else "strict,allow-impossible"
)

pytestmark = pytest.mark.timeout(900)  # of a whole notebook; a cell has nbval's limit


def named(path: Path) -> str:
    """Return a notebook's name in the list of tests."""
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("notebook", SAVED, ids=named)
def test_a_notebook_says_what_is_saved_in_it(notebook: Path) -> None:
    places = lab_of_its_own(notebook)
    outcome = nbval(notebook, {**places, checking.STRICT: STRICTNESS})
    assert outcome.fine, outcome.said


@pytest.mark.parametrize("exercise", EXERCISES, ids=named)
def test_an_exercise_runs_and_every_check_says_not_attempted(exercise: Path) -> None:
    notebook = json.loads(execution.run(exercise, checks=""))
    checks = [cell for cell in notebook["cells"] if role_of(cell) == "check"]
    assert len(checks) >= 2
    for cell in checks:
        said = "".join(cell["outputs"][0]["data"]["text/plain"])
        assert said.startswith(f"{cell['metadata']['labkit']['ex']} not attempted (0/")


def test_a_check_that_has_to_pass_stops_an_exercise() -> None:
    with pytest.raises(CellExecutionError, match=r"01\.1 not attempted"):
        execution.run(PROJECT / "exercises" / "01_a_process.ipynb", checks="strict")


def test_every_exercise_is_what_its_solution_makes_of_it() -> None:
    assert publish.stale() == []


@pytest.mark.parametrize("solution", sorted(publish.exercises().values()), ids=named)
def test_a_solution_asks_predicts_answers_and_checks(solution: Path) -> None:
    cells = json.loads(solution.read_text())["cells"]
    said = [cell["metadata"].get("labkit", {}) for cell in cells]
    answers = [(s["ex"], s["points"]) for s in said if s.get("role") == "answer"]
    checks = [(s["ex"], s["points"]) for s in said if s.get("role") == "check"]
    predictions = [text_of(c) for c in cells if "lab.predict(" in text_of(c)]
    assert answers == checks == points_of(solution)
    assert predictions == [f'lab.predict("{exercise}")' for exercise, _ in answers]


def points_of(solution: Path) -> list[tuple[str, int]]:
    """Return the tasks of a solution's chapter, with what they are worth."""
    from labkit.course import tasks

    return [(task.id, task.points) for task in tasks.exercise(solution.name[:2]).tasks]


def role_of(cell: dict[str, Any]) -> str:
    """Return a cell's role in an exercise."""
    return str(cell["metadata"].get("labkit", {}).get("role", ""))


def text_of(cell: dict[str, Any]) -> str:
    """Return a cell's source."""
    return "".join(cell["source"])

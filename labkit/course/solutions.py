"""The solutions as a source: the function that a task asks for, out of its notebook.

Cells are found by their metadata, {"labkit": {"role": "answer", "ex": "02.1"}}, and
never by their place.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.course import my_file, names, tasks
from labkit.course.my_file import Piece
from labkit.course.task import Task
from labkit.errors import StateError

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook, as far as the lab is concerned."""

    id: str
    kind: str  # "code" or "markdown"
    source: str
    role: str  # "setup", "answer", "check", "solution" or ""
    exercise: str  # "02.1" or ""

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Cell:
        said = raw["metadata"].get("labkit", {})
        source = raw["source"]
        text = source if isinstance(source, str) else "".join(source)
        role, exercise = said.get("role", ""), said.get("ex", "")
        return cls(raw["id"], raw["cell_type"], text, role, exercise)


def project() -> Path:
    """Return the folder that holds labkit/, notebooks/, exercises/ and solutions/."""
    return Path(__file__).parents[2]


def cells(path: Path) -> list[Cell]:
    """Return the cells of a notebook."""
    return [Cell.from_json(raw) for raw in json.loads(path.read_text())["cells"]]


def piece_from_solution(task: Task, name: str) -> Piece:
    """Return a function that a task asks for, as its solution has it.

    Raises: StateError when the solution isn't here, or has no such function.
    """
    path = project() / "solutions" / tasks.exercise(task.chapter).notebook
    if not path.exists():
        raise StateError(
            f"{path}: isn't there",
            "run the lab from a checkout of its repository",
            meaning="the solutions come with the repository, not with the library",
        )
    there = cells(path)
    for cell in there:
        text = without_markers(cell.source)
        mine = cell.role == "answer" and cell.exercise == task.id
        if mine and name in my_file.definitions(text):
            source = my_file.source_of(text, name)
            return Piece(name, source, _imports(source, there))
    raise StateError(f"{path.name}: no answer cell of {task.id} defines {name}")


def without_markers(source: str) -> str:
    """Return a solution's code without the lines that mark what is cut out."""
    kept = (line for line in source.splitlines() if line.strip() not in (BEGIN, END))
    return "\n".join(kept) + "\n"


def _imports(source: str, there: list[Cell]) -> frozenset[tuple[str, str]]:
    # What the function uses, looked up among the imports of its own notebook.
    used = names.outside_names(source)
    code = "\n".join(cell.source for cell in there if cell.kind == "code")
    found = set()
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import):
            found |= {(a.name, "") for a in node.names if a.name in used}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", a.name) for a in node.names if a.name in used}
    return frozenset(found)

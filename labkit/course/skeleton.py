"""A solution's notebook becomes an exercise: the answers are cut out. D9 of the design.

skeleton_of(path) -> str     the exercise notebook's exact text

Nothing is invented: cells keep their ids, their order and their metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from labkit.course.attempt import YOUR_TURN
from labkit.course.solutions import BEGIN, END, Cell
from labkit.errors import DocumentError

_LEFT_OUT = "solution"  # the role of cells that speak about the answer
_KEPT = ("kernelspec", "language_info")


def skeleton_of(solution: Path) -> str:
    """Return the text of the exercise that a solution's notebook stands for.

    Args: solution [host path of an .ipynb file].
    Raises: DocumentError when a region isn't closed, or an answer cell has none.
    """
    notebook = json.loads(solution.read_text())
    notebook["cells"] = [
        _skeleton_cell(raw, solution.name)
        for raw in notebook["cells"]
        if Cell.from_json(raw).role != _LEFT_OUT
    ]
    metadata = notebook["metadata"]
    notebook["metadata"] = {name: metadata[name] for name in _KEPT if name in metadata}
    # As Jupyter writes a notebook, so that saving an exercise changes nothing else.
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def cut(source: str, where: str) -> str:
    """Return an answer's code with each solution region replaced by the learner's turn.

    Args: source; where [for the message: notebook and cell].
    Raises: DocumentError when regions don't come in pairs.
    """
    kept: list[str] = []
    inside = False
    for line in source.splitlines():
        mark = line.strip()
        if mark not in (BEGIN, END):
            kept += [] if inside else [line]
            continue
        if inside is (mark == BEGIN):
            raise DocumentError(f"{where}: {mark} without its other half")
        inside = mark == BEGIN
        if inside:
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(f'{indent}raise NotImplementedError("{YOUR_TURN}")')
    if inside:
        raise DocumentError(f"{where}: {BEGIN} without its other half")
    return "\n".join(kept)


def _skeleton_cell(raw: dict[str, Any], notebook: str) -> dict[str, Any]:
    cell = Cell.from_json(raw)
    source = cell.source
    if cell.role == "answer":
        where = f"{notebook}, cell {cell.id}"
        if BEGIN not in source:
            raise DocumentError(f"{where}: an answer without {BEGIN}")
        source = cut(source, where)
    made = {**raw, "source": source.splitlines(keepends=True)}
    if cell.kind == "code":
        made |= {"outputs": [], "execution_count": None}
    made["metadata"] = {
        name: value
        for name, value in raw["metadata"].items()
        if name in ("labkit", "tags")
    }
    return made

"""The notebooks as files: what git has, not what a kernel would answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.style.sources import PROJECT


@dataclass(frozen=True)
class Notebook:
    """One .ipynb file; str() is its path, as a test's name shows it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the file as JSON."""
        document: dict[str, Any] = json.loads(self.path.read_text())
        return document

    @property
    def cells(self) -> list[Cell]:
        """Return the cells in their order."""
        return [Cell(raw) for raw in self.document["cells"]]

    @property
    def code(self) -> list[Cell]:
        """Return the code cells in their order."""
        return [cell for cell in self.cells if cell.raw["cell_type"] == "code"]


@dataclass(frozen=True)
class Cell:
    """One cell; str() is its id."""

    raw: dict[str, Any]

    def __str__(self) -> str:
        return str(self.raw.get("id"))

    @property
    def source(self) -> str:
        """Return the text of the cell."""
        return "".join(self.raw["source"])

    @property
    def tags(self) -> list[str]:
        """Return the tags, which nbval and JupyterLab read."""
        return list(self.raw["metadata"].get("tags", []))

    @property
    def labkit(self) -> dict[str, Any]:
        """Return what the lab says about this cell: slides, role, exercise, points."""
        return dict(self.raw["metadata"].get("labkit", {}))

    def texts(self) -> Iterator[str]:
        """Yield the outputs that nbval compares as text."""
        for output in self.raw.get("outputs", []):
            yield "".join(output.get("text", []))
            yield "".join(output.get("data", {}).get("text/plain", []))


def notebooks(*folders: str) -> list[Notebook]:
    """Return the notebooks below these folders, in the order of their paths."""
    found = [path for folder in folders for path in (PROJECT / folder).rglob("*.ipynb")]
    return [Notebook(p) for p in sorted(found) if ".ipynb_checkpoints" not in p.parts]

"""One notebook under nbval, in a lab of its own; the truth about how it went.

nbval runs the cells and compares their outputs with the saved ones. What it reports is
not taken at its word: after a cell that ran out of time the later ones count as
"expected to fail", and a cell that was interrupted can count as passed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

CELL_S = 120
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a notebook's code cells went, as nbval saw them."""

    cells: int  # that the notebook has
    passed: int
    slow: tuple[str, ...]  # passed, and took all the time that there was
    said: str

    @property
    def fine(self) -> bool:
        """Whether each single cell really passed."""
        return self.cells == self.passed and not self.slow


def nbval(
    notebook: Path, environment: Mapping[str, str], cell_s: float = CELL_S
) -> Outcome:
    """Run a notebook under nbval; compare all outputs.

    The kernel is this environment's, or python3 of the JUPYTER_PATH that is given.
    """
    given = "JUPYTER_PATH" in environment
    which = ["--nbval-kernel-name=python3"] if given else ["--nbval-current-env"]
    report = Path(os.environ["LABKIT_WORK"], f"nbval-{uuid.uuid4().hex}.xml")
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "--nbval", *which,
            f"--nbval-cell-timeout={cell_s:g}", f"--junitxml={report}",
            f"--nbval-sanitize-with={PROJECT}/tests/notebooks/sanitize.cfg",
            "-p", "no:cacheprovider", "--color=no", "-q", str(notebook),
        ],
        cwd=PROJECT, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    cases = list(ElementTree.parse(report).iter("testcase"))
    # A case with a child has failed, or was skipped: as an expected failure is.
    passed = [case for case in cases if not list(case)]
    slow = [c.get("name", "") for c in passed if float(c.get("time", 0)) >= cell_s]
    return Outcome(code_cells(notebook), len(passed), tuple(slow), done.stdout)


def code_cells(notebook: Path) -> int:
    """Count the code cells of a notebook."""
    cells = json.loads(notebook.read_text())["cells"]
    return sum(cell["cell_type"] == "code" for cell in cells)


def lab_of_its_own(notebook: Path) -> dict[str, str]:
    """Return where a notebook keeps its state and its work: nobody else does there.

    The names are short, because calls with a long path are cut in a trace.
    """
    name = f"{notebook.parent.name[0]}{notebook.name[:2]}"
    places = {v: Path(os.environ[v]) / name for v in ("LABKIT_STATE", "LABKIT_WORK")}
    return {variable: str(path) for variable, path in places.items()}

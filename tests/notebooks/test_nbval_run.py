"""The driver is not fooled by what nbval calls a pass."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from tests.notebooks.nbval_run import nbval

pytestmark = pytest.mark.timeout(120)


def notebook(folder: Path, *cells: tuple[str, str | None]) -> Path:
    """Write a notebook: each cell with the result that is saved in it."""
    made = nbformat.v4.new_notebook()
    for number, (source, result) in enumerate(cells, 1):
        cell = nbformat.v4.new_code_cell(source, execution_count=number)
        if result is not None:
            cell.outputs = [
                nbformat.v4.new_output(
                    "execute_result", {"text/plain": result}, execution_count=number
                )
            ]
        made.cells.append(cell)
    path = folder / "a_notebook.ipynb"
    nbformat.write(made, path)
    return path


def test_the_same_results_are_fine(tmp_path: Path) -> None:
    outcome = nbval(notebook(tmp_path, ("1 + 1", "2"), ("x = 1", None)), {})
    assert outcome.fine, outcome.said


def test_another_result_is_not(tmp_path: Path) -> None:
    outcome = nbval(notebook(tmp_path, ("1 + 1", "3"), ("x = 1", None)), {})
    assert (outcome.fine, outcome.passed, outcome.cells) == (False, 1, 2)


def test_what_follows_a_cell_that_never_ends_does_not_count(tmp_path: Path) -> None:
    forever = ("while True:\n    pass", None)
    outcome = nbval(notebook(tmp_path, forever, ("1", "1"), ("2", "2")), {}, cell_s=3)
    assert not outcome.fine


def test_a_cell_that_swallows_its_interrupt_does_not_count(tmp_path: Path) -> None:
    deaf = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    pass"
    outcome = nbval(notebook(tmp_path, (deaf, None)), {}, cell_s=3)
    assert not outcome.fine


def test_a_kernel_that_dies_does_not_count(tmp_path: Path) -> None:
    dies = ("import os\nos._exit(1)", None)
    outcome = nbval(notebook(tmp_path, dies, ("1", "1")), {}, cell_s=3)
    assert not outcome.fine


@pytest.mark.parametrize(
    ("saved", "source"),
    [
        ("<section>old</section>", "print('<section>new</section>', end='')"),
        (
            "root on Linux 6.12, cgroup v2: everything in this chapter is real here",
            "print('ordinary user on Linux 6.1, cgroup v1 (hybrid): this chapter is "
            "real in part, without memory limits; try: labkit doctor', end='')",
        ),
        (
            'chroot("/var/lib/labkit/boxes/c02"); /home/you/labkit/.venv/bin/python',
            "print('chroot(\"/root/x/boxes/c02\"); /a/.venv/bin/python', end='')",
        ),
    ],
)
def test_what_is_not_the_labs_may_differ(
    tmp_path: Path, saved: str, source: str
) -> None:
    path = notebook(tmp_path, (source, None))
    made = nbformat.read(path, 4)
    made.cells[0].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text=saved)
    ]
    nbformat.write(made, path)
    outcome = nbval(path, {})
    assert outcome.fine, outcome.said

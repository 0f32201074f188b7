"""A chapter is short, has been run, and says the same on every machine."""

from __future__ import annotations

import re

import pytest

from labkit.doctor import chapters as doctor
from tests.style.notebooks import Notebook, notebooks
from tests.style.sources import PROJECT

CHAPTERS = notebooks("notebooks")
SOLUTIONS = notebooks("solutions")
EXERCISES = notebooks("exercises")
ALL = [*CHAPTERS, *SOLUTIONS, *EXERCISES]

CELLS = 90  # the aim is 40 to 70
LINES = 20  # of a code cell
SLIDES = {f"S{number}" for number in range(1, 25)}
# Which slide of the workshop's deck is shown in which chapter.
SHOWN = {
    "00": {"S1"}, "02": {"S2"}, "03": {"S3"}, "04": {"S4"},
    "05": {"S2"}, "06": {"S11"}, "07": {"S5"},
    "11": {"S8", "S11", "S12"}, "12": {"S13", "S14", "S24"},
}  # fmt: skip

# Numbers that differ from run to run, and what they are.
VOLATILE = {
    r"0x[0-9a-f]{6,}": "an address in memory",
    r"\bpid[ =:]\s*\d+": "a process id",
    r"\b\w+:\[\d{8,}\]": "a namespace's inode",
    r"\b\d+(\.\d+)? ?(µs|us|ms)\b": "a duration",
    r"\b20\d\d-\d\d-\d\d\b": "a date",
    r"/tmp/\w+|/var/tmp/\w+": "a temporary directory",
}
each = pytest.mark.parametrize


@each("notebook", CHAPTERS, ids=str)
def test_a_chapter_is_read_in_one_sitting(notebook: Notebook) -> None:
    """Ninety cells at most."""
    assert len(notebook.cells) <= CELLS


@each("notebook", ALL, ids=str)
def test_a_cell_is_seen_at_once(notebook: Notebook) -> None:
    """Twenty lines of code at most."""
    long = [c for c in notebook.code if len(c.source.splitlines()) > LINES]
    assert [str(cell) for cell in long] == []


@each("notebook", ALL, ids=str)
def test_a_cell_keeps_its_name(notebook: Notebook) -> None:
    """An id in words: grading and progress find cells by it. Eight hex digits are
    what Jupyter makes up when there is none.
    """
    ids = [str(cell) for cell in notebook.cells]
    assert [i for i in ids if re.fullmatch(r"[0-9a-f]{8}(-.*)?|None", i)] == []
    assert len(ids) == len(set(ids))


@each("notebook", [*CHAPTERS, *SOLUTIONS], ids=str)
def test_every_cell_was_run(notebook: Notebook) -> None:
    """Because nbval compares nothing in a cell that has no number."""
    not_run = [c for c in notebook.code if c.source and not c.raw["execution_count"]]
    assert [str(cell) for cell in not_run] == []


@each("notebook", [*CHAPTERS, *SOLUTIONS], ids=str)
def test_no_cell_ended_in_an_error(notebook: Notebook) -> None:
    """A failure that the text announces is caught, and its errno asserted."""
    kinds = [o["output_type"] for cell in notebook.code for o in cell.raw["outputs"]]
    assert "error" not in kinds
    assert [str(c) for c in notebook.cells if "raises-exception" in c.tags] == []


@each("notebook", ALL, ids=str)
def test_outputs_have_no_number_that_changes(notebook: Notebook) -> None:
    """A learner compares theirs with the book's; nbval does, too."""
    found = [
        f"{cell}: {what}: {match[0]}"
        for cell in notebook.code
        for text in cell.texts()
        for pattern, what in VOLATILE.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == []


@each("notebook", EXERCISES, ids=str)
def test_an_exercise_has_no_output(notebook: Notebook) -> None:
    """It hasn't been run: that is the learner's part."""
    assert [str(c) for c in notebook.code if c.raw["outputs"]] == []


@each("notebook", ALL, ids=str)
def test_cells_name_slides_that_exist(notebook: Notebook) -> None:
    """S1 to S24, in a list."""
    named = [
        slide for cell in notebook.cells for slide in cell.labkit.get("slides", [])
    ]
    assert set(named) <= SLIDES


@each("notebook", CHAPTERS, ids=str)
def test_a_chapter_shows_its_slides(notebook: Notebook) -> None:
    """So that the workshop's speaker finds the cell for each."""
    named = {
        slide for cell in notebook.cells for slide in cell.labkit.get("slides", [])
    }
    assert SHOWN.get(notebook.path.name[:2], set()) <= named


@each("notebook", ALL, ids=str)
def test_no_shell_does_the_work_unseen(notebook: Notebook) -> None:
    """No magics; and markers are tags, which a reader doesn't see."""
    pattern = r"(?m)^\s*[!%]|NBVAL_"
    assert [str(c) for c in notebook.code if re.search(pattern, c.source)] == []


@each("notebook", ALL, ids=str)
def test_a_notebook_keeps_no_widget_state(notebook: Notebook) -> None:
    """A saved view is a picture and a text; they need no kernel and no network."""
    assert "widgets" not in notebook.document["metadata"]
    assert notebook.document["metadata"]["kernelspec"]["name"] == "python3"


@each("notebook", ALL, ids=str)
def test_a_link_leads_somewhere(notebook: Notebook) -> None:
    """To a file of the project; the lab works without the internet."""
    text = [c.source for c in notebook.cells if c.raw["cell_type"] == "markdown"]
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", "\n".join(text))
    assert [x for x in links if not (notebook.path.parent / x).exists()] == []


def test_every_chapter_is_there() -> None:
    """Those that the doctor knows, and each but the first has its exercises."""
    chapters = [n.path.stem[:2] for n in CHAPTERS]
    assert chapters == [chapter.number for chapter in doctor.CHAPTERS]
    assert [n.path.stem[:2] for n in EXERCISES] == chapters[1:]


@each("solution", SOLUTIONS, ids=str)
def test_an_exercise_is_made_from_its_solution(solution: Notebook) -> None:
    """Byte for byte; `make notebooks` makes them."""
    from labkit.course.publish import skeleton_of

    exercise = PROJECT / "exercises" / solution.path.relative_to(PROJECT / "solutions")
    assert skeleton_of(solution.path) == exercise.read_text()

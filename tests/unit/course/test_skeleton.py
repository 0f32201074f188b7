"""An exercise is its solution without the answers, and nothing else is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from labkit.course import publish
from labkit.course.skeleton import cut, skeleton_of
from labkit.errors import DocumentError

ANSWER = '''def enter(linux, path):
    """Go in."""
    for _ in range(1):
        ### BEGIN SOLUTION
        linux.chroot(path)

        linux.chdir("/")
        ### END SOLUTION
    return path'''


def solution(folder: Path) -> Path:
    """Write a solution that has been run."""
    made = nbformat.v4.new_notebook(metadata={"widgets": {"a": 1}, "x": 2})
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    output = nbformat.v4.new_output("stream", name="stdout", text="hello\n")
    for role, source in (
        ("setup", "import os"),
        ("answer", ANSWER),
        ("solution", "# why"),
    ):
        cell = nbformat.v4.new_code_cell(source, execution_count=7, outputs=[output])
        cell.id = f"the-{role}"
        cell.metadata = {
            "labkit": {"role": role, "ex": "02.1"},
            "tags": ["a"],
            "deleted": 1,
        }
        made.cells.append(cell)
    made.cells.append(nbformat.v4.new_markdown_cell("# Read me", id="the-text"))
    path = folder / "02_x.ipynb"
    nbformat.write(made, path)
    return path


def cells(text: str) -> list[Any]:
    return list(json.loads(text)["cells"])


def test_the_answer_becomes_the_learners_turn_at_its_place() -> None:
    assert cut(ANSWER, "here").splitlines() == [
        "def enter(linux, path):",
        '    """Go in."""',
        "    for _ in range(1):",
        '        raise NotImplementedError("your turn")',
        "    return path",
    ]


def test_two_regions_are_two_turns() -> None:
    region = "### BEGIN SOLUTION\n1\n### END SOLUTION"
    turn = 'raise NotImplementedError("your turn")'
    assert cut(f"{region}\nx\n{region}", "here") == f"{turn}\nx\n{turn}"


@pytest.mark.parametrize(
    "source",
    [
        "### BEGIN SOLUTION\n1",
        "### END SOLUTION",
        "### BEGIN SOLUTION\n### BEGIN SOLUTION",
    ],
)
def test_half_a_region_is_an_error_that_says_where(source: str) -> None:
    with pytest.raises(
        DocumentError, match=r"02_x\.ipynb, cell 7: ### \w+ SOLUTION without"
    ):
        cut(source, "02_x.ipynb, cell 7")


def test_an_answer_without_a_region_is_an_error(tmp_path: Path) -> None:
    path = solution(tmp_path)
    path.write_text(
        path.read_text().replace("### BEGIN SOLUTION", "").replace("### END", "")
    )
    with pytest.raises(DocumentError, match="an answer without ### BEGIN"):
        skeleton_of(path)


def test_outputs_go_and_ids_and_roles_stay(tmp_path: Path) -> None:
    made = cells(skeleton_of(solution(tmp_path)))
    assert [cell["id"] for cell in made] == ["the-setup", "the-answer", "the-text"]
    for cell in made[:2]:
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        assert sorted(cell["metadata"]) == ["labkit", "tags"]
    assert "SOLUTION" not in json.dumps(made)


def test_the_exercise_is_a_notebook_as_jupyter_writes_one(tmp_path: Path) -> None:
    text = skeleton_of(solution(tmp_path))
    path = tmp_path / "exercise.ipynb"
    path.write_text(text)
    nbformat.validate(nbformat.read(path, 4))
    nbformat.write(nbformat.read(path, 4), path)
    assert path.read_text() == text
    assert sorted(json.loads(text)["metadata"]) == ["kernelspec"]


def test_it_is_the_same_whatever_was_run(tmp_path: Path) -> None:
    path = solution(tmp_path)
    before = skeleton_of(path)
    notebook = json.loads(path.read_text())
    notebook["cells"][0] |= {"execution_count": 99, "outputs": []}
    path.write_text(json.dumps(notebook))
    assert skeleton_of(path) == before


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one solution, and no exercise yet."""
    (tmp_path / "solutions").mkdir()
    solution(tmp_path / "solutions")
    monkeypatch.setattr(publish, "project", lambda: tmp_path)
    return tmp_path


def test_publishing_makes_what_is_missing_and_removes_what_has_no_solution(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish.main(["--check"]) == 1
    assert publish.main(["--exercises"]) == 0
    assert publish.main(["--check"]) == 0
    (project / "exercises" / "09_gone.ipynb").write_text("{}")
    (project / "exercises" / "02_x.ipynb").write_text("{}")
    assert publish.main(["--check"]) == 1
    assert (
        "exercises/02_x.ipynb: not what its solution makes" in capsys.readouterr().out
    )
    assert publish.main(["--exercises"]) == 0
    assert [p.name for p in (project / "exercises").iterdir()] == ["02_x.ipynb"]


def test_a_check_changes_nothing(project: Path) -> None:
    publish.main(["--check"])
    assert not (project / "exercises").exists()


def test_a_solution_that_cannot_be_cut_is_an_error_of_three_lines(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "solutions" / "02_x.ipynb"
    path.write_text(path.read_text().replace("### END SOLUTION", ""))
    assert publish.main(["--exercises"]) == 1
    assert "without its other half" in capsys.readouterr().err

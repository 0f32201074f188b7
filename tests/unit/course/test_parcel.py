"""A learner's work leaves in one file and comes back; nothing is ever lost."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from labkit import lab
from labkit.course import parcel
from labkit.errors import DocumentError, HostError

MINE = {"my_container.py": "# mine", "my_progress.json": '{"hints": {}}'}
NOTEBOOK = "exercises/02_chroot.ipynb"


def book(source: str, output: str = "") -> str:
    """A notebook of one cell, which may have been run."""
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}]
    cell = {
        "cell_type": "code",
        "source": source,
        "metadata": {"execution": {"iopub.status.busy": "now"}} if output else {},
        "outputs": outputs if output else [],
        "execution_count": 1 if output else None,
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder with work in it, and another file."""
    folder = tmp_path / "work"
    files = {**MINE, NOTEBOOK: book("print(1)", "1"), "README.md": "not a learner's"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setenv("LABKIT_WORK", str(folder))
    return folder


def elsewhere(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's folder on another machine: nothing of hers is there."""
    folder = work.parent / "elsewhere"
    (folder / "exercises").mkdir(parents=True)
    monkeypatch.setenv("LABKIT_WORK", str(folder))
    return folder


def names(path: Path) -> list[str]:
    """What is in a folder, and below it."""
    files = (one for one in path.rglob("*") if one.is_file())
    return sorted(str(one.relative_to(path)) for one in files)


def test_all_of_it_comes_back_on_another_machine(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = parcel.save("my_work.zip")
    there = elsewhere(work, monkeypatch)
    restored = parcel.restore(str(saved))
    assert names(there) == [NOTEBOOK, *sorted(MINE)]
    assert {name: (there / name).read_text() for name in MINE} == MINE
    cells = json.loads((there / NOTEBOOK).read_text())["cells"]
    assert (cells[0]["source"], cells[0]["outputs"]) == ("print(1)", [])
    assert restored.kept == ()


def test_a_notebook_that_was_only_run_stays_as_it_is(work: Path) -> None:
    parcel.save("my_work.zip")
    again = book("print(1)", "another output")
    (work / NOTEBOOK).write_text(again)
    assert str(parcel.restore("my_work.zip")) == "all of it is here already"
    assert (work / NOTEBOOK).read_text() == again


def test_what_differs_is_kept_beside(work: Path) -> None:
    parcel.save("my_work.zip")
    for newer in ("# newer", "# newest"):
        (work / "my_container.py").write_text(newer)
        said = str(parcel.restore("my_work.zip"))
        assert said.startswith("restored: my_container.py\nwhat was here before is now")
    assert (work / "my_container.py").read_text() == "# mine"
    assert (work / "my_container.before-1.py").read_text() == "# newer"
    assert (work / "my_container.before-2.py").read_text() == "# newest"


@pytest.mark.parametrize("name", ["../outside.py", "/etc/passwd", "labkit/lab.py"])
def test_a_file_with_other_names_is_refused(work: Path, name: str) -> None:
    with zipfile.ZipFile(work / "my_work.zip", "w") as made:
        made.writestr("my_container.py", "# theirs")
        made.writestr(name, "anything")
    with pytest.raises(DocumentError, match="it holds .*; nothing has been changed"):
        parcel.restore("my_work.zip")
    assert (work / "my_container.py").read_text() == "# mine"


@pytest.mark.parametrize("damage", ["half", "a byte", "no ZIP", "missing", "a bomb"])
def test_a_damaged_file_changes_nothing(work: Path, damage: str) -> None:
    saved = parcel.save("my_work.zip")
    content = bytearray(saved.read_bytes())
    (work / "my_container.py").write_text("# newer")
    if damage == "half":
        saved.write_bytes(content[: len(content) // 2])
    elif damage == "a byte":
        content[len("my_container.py") + 32] ^= 0xFF
        saved.write_bytes(content)
    elif damage == "no ZIP":
        saved.write_text("no ZIP")
    elif damage == "missing":
        saved.unlink()
    else:
        with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as bomb:
            bomb.writestr("my_container.py", bytes(65 << 20))
    before = names(work)
    with pytest.raises(DocumentError, match="nothing has been changed"):
        parcel.restore("my_work.zip")
    assert (work / "my_container.py").read_text() == "# newer"
    assert names(work) == before


def test_a_file_that_is_no_notebook_is_taken_as_it_is(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / NOTEBOOK).write_text("half a notebo")
    saved = parcel.save("my_work.zip")
    there = elsewhere(work, monkeypatch)
    parcel.restore(str(saved))
    assert (there / NOTEBOOK).read_text() == "half a notebo"


def test_a_folder_that_takes_no_file_is_told(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_WORK", str(work / "README.md"))
    with pytest.raises(HostError, match="can't be written"):
        parcel.save("my_work.zip")


def test_the_cell_shows_a_link_that_holds_the_file(work: Path) -> None:
    shown = lab.download()
    assert 'download="my_work.zip"' in shown._repr_html_()
    assert repr(shown).startswith("my_work.zip, ")
    assert shown.content == (work / "my_work.zip").read_bytes()
    assert str(lab.restore()) == "all of it is here already"

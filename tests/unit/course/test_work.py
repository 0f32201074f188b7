"""Where the learner's files are: said by a variable, or by where the notebook is."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.course import work as learner
from labkit.errors import HostError


def test_the_variable_says_where(work: Path) -> None:
    assert learner.folder() == work


def test_a_notebook_of_a_checkout_writes_beside_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABKIT_WORK")
    for name in ("labkit", "notebooks", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert learner.folder() == tmp_path
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert learner.folder() == tmp_path / "elsewhere"


def test_a_folder_that_refuses_is_named_with_what_to_do(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.parent.joinpath("file").write_text("")
    monkeypatch.setenv("LABKIT_WORK", str(work.parent / "file" / "below"))
    with pytest.raises(HostError, match=r"can't be written\n.*\ntry: set LABKIT_WORK"):
        learner.write("my_container.py", "")

"""A learner's own folder: empty, one's own, and gone at the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit import lab, sweep
from labkit.plan import handle


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory for each test."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_it_is_empty_and_of_the_same_name_it_is_emptied() -> None:
    (lab.folder("c11") / "note").write_text("hello")
    assert os.listdir(lab.folder("c11")) == []


def test_it_is_named_as_yours_until_it_is_removed() -> None:
    folder = lab.folder("c11")
    assert "folder c11: yours, and still there" in str(lab.left())
    folder.remove()
    folder.remove()
    assert str(lab.left()) == str(sweep.NOTHING)
    assert not os.path.exists(folder)


def test_what_a_crash_left_is_swept(own_state: Path) -> None:
    left = own_state / "folders" / "c11"
    (left / "deep").mkdir(parents=True)
    assert "removed: directory folders/c11 (without a record)" in str(sweep.sweep())
    assert not left.exists()
    assert handle.records() == ()

"""A stuck learner takes the solutions' functions, and keeps what is their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.course import catch_up, my_container, solutions, tasks
from labkit.errors import StateError
from labkit.linux.trace import Recorder


def kept_before(chapter: str) -> list[str]:
    """Return the functions that the exercises before a chapter ask for."""
    asked = (task for one in tasks.exercises() for task in one.tasks if task.kept)
    return [name for task in asked if task.chapter < chapter for name in task.functions]


def test_what_is_missing_up_to_a_chapter_is_taken(work: Path) -> None:
    said = catch_up("03")
    assert repr(said) == (
        "from the solutions: start_program (01), enter_root (02)\nyour own: nothing"
    )
    module = my_container()
    assert not hasattr(module, "limit_memory")
    recorder = Recorder()
    module.enter_root(recorder, "/box")
    assert [call.text for call in recorder.calls] == ['chroot("/box")', 'chdir("/")']


def test_what_is_the_learners_own_stays(work: Path) -> None:
    work.mkdir()
    own = "def start_program(linux, argv):\n    return 'mine'\n"
    (work / "my_container.py").write_text(own)
    said = catch_up("03")
    assert said.splitlines() == [
        "from the solutions: enter_root (02)",
        "your own: start_program (01)",
    ]
    assert my_container().start_program(None, []) == "mine"


def test_a_second_time_there_is_nothing_to_do(work: Path) -> None:
    catch_up("03")
    before = (work / "my_container.py").stat().st_mtime_ns
    assert catch_up("03").startswith("from the solutions: nothing\n")
    assert (work / "my_container.py").stat().st_mtime_ns == before


def test_the_whole_runtime_of_the_solutions_can_be_imported() -> None:
    catch_up("99")
    module = my_container()
    assert [
        n for n in kept_before("99") if not callable(getattr(module, n, None))
    ] == []


def test_no_solution_leaves_its_marks_in_the_learners_file(work: Path) -> None:
    catch_up("99")
    text = (work / "my_container.py").read_text()
    assert "SOLUTION" not in text
    assert [f"# ---- {n:02} " in text for n in range(1, 7)] == [True] * 6


def test_without_the_solutions_the_reason_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solutions, "project", lambda: tmp_path)
    with pytest.raises(StateError, match="run the lab from a checkout"):
        catch_up("02")

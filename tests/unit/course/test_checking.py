"""A check ends in one of five words, is recorded, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import state
from labkit.course import checking, progress, tasks
from labkit.course.attempt import attempt
from labkit.course.checking import check, judge
from labkit.course.seed import Seed
from labkit.course.task import Case, Exercise, Task
from labkit.course.verdict import Failed, NotPassed, Saw, Verdict, Word
from labkit.errors import DocumentError, HostError, syscall_error
from labkit.host import Host, Privilege
from labkit.plan import handle

NOBODY = Host("6.12.0", Privilege(root=False))
EASY = tasks.task("01.1")
CHROOT = tasks.task("02.1")


def answer(linux: Any) -> int:
    """Answer with something."""
    return int(linux.getpid())


def skeleton(linux: Any) -> int:
    """Answer with something."""
    raise NotImplementedError("your turn")


def judged(
    how: Callable[[Any, Case], Saw], task: Task = EASY, function: Any = answer
) -> Verdict:
    return judge(replace(task, check=how), [function], NOBODY, Seed("x"))


def test_a_check_that_sees_what_was_asked_for_passes() -> None:
    found = judged(lambda function, case: Saw("it was so"))
    assert repr(found) == "01.1 passed (2/2 points): it was so"


def test_a_check_that_refuses_fails_with_hints() -> None:
    def refuse(function: Any, case: Case) -> Saw:
        raise Failed("it was not so")

    found = judged(refuse)
    assert (found.word, found.observed) == (Word.FAILED, "it was not so")
    assert found.hint == EASY.hints[0]


def test_a_mistake_in_the_check_is_the_labs_fault() -> None:
    found = judged(lambda function, case: Saw({}["missing"]))  # type: ignore[misc]
    assert found.word is Word.BROKEN
    assert "the check itself failed (KeyError: 'missing')" in found.observed
    assert "Traceback" in found.trouble and found.hint == ""


def test_an_interrupt_is_no_verdict() -> None:
    def interrupted(function: Any, case: Case) -> Saw:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(interrupted)
    assert_nothing_left()


def test_what_this_machine_lacks_makes_it_not_possible() -> None:
    found = judged(lambda function, case: Saw("never asked"), CHROOT)
    assert found.word is Word.NOT_POSSIBLE
    assert "try: " in found.observed


def test_a_skeleton_is_not_attempted_even_where_it_is_not_possible() -> None:
    found = judged(lambda function, case: Saw("never asked"), CHROOT, skeleton)
    assert found.word is Word.NOT_ATTEMPTED


def test_a_host_error_in_the_check_is_not_possible_here() -> None:
    def lacking(function: Any, case: Case) -> Saw:
        raise HostError("no overlay on this machine")

    found = judged(lacking)
    assert repr(found) == "01.1 not possible here: no overlay on this machine"


def test_what_only_root_may_prepare_is_not_possible_for_others() -> None:
    def prepare(function: Any, case: Case) -> Saw:
        raise syscall_error("unshare(CLONE_NEWNS)", errno.EPERM)

    found = judged(prepare)
    assert found.word is Word.NOT_POSSIBLE
    assert found.observed == "unshare(CLONE_NEWNS): EPERM: it needs root"


def test_a_case_has_a_folder_that_is_gone_afterwards() -> None:
    seen: list[Path] = []

    def look(function: Any, case: Case) -> Saw:
        seen.append(Path(case.folder))
        (seen[0] / "file").write_text("x")
        return Saw("fine")

    judged(look)
    assert not seen[0].exists()
    assert_nothing_left()


def test_the_child_of_a_failed_check_is_gone_afterwards() -> None:
    pids = []

    def fail(function: Any, case: Case) -> Saw:
        with attempt(function) as run:
            pids.append(run.pid)
            raise run.failed("no")

    assert judged(fail).word is Word.FAILED
    assert not os.path.exists(f"/proc/{pids[0]}")
    assert_nothing_left()


def test_several_functions_come_together() -> None:
    task = replace(EASY, check=lambda functions, case: Saw(str(len(functions))))
    assert judge(task, [answer, answer], NOBODY, Seed("x")).observed == "2"


@pytest.fixture
def one_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """A course with the one task 01.1, whose check passes for a function `answer`."""

    def only_answer(function: Any, case: Case) -> Saw:
        if function is not answer:
            raise Failed("another one")
        return Saw("it was so")

    task = replace(EASY, check=only_answer, kept=False)
    exercise = Exercise("01", "A process", "", "01.ipynb", (task,))
    monkeypatch.setattr(tasks, "exercises", lambda: (exercise,))


@pytest.mark.usefixtures("one_task")
def test_a_verdict_is_recorded_and_returned() -> None:
    assert check("01.1", answer).passed
    assert progress.standing("01.1").word is Word.PASSED


@pytest.mark.usefixtures("one_task")
@pytest.mark.parametrize("strictness", ["strict", "strict,allow-impossible"])
def test_strict_raises_and_records(
    strictness: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.STRICT, strictness)
    assert check("01.1", answer).passed
    for function, word in ((judged, "failed"), (skeleton, "not attempted")):
        with pytest.raises(NotPassed, match=f"01.1 {word}"):
            check("01.1", function) if function is judged else check("01.1", ...)


@pytest.mark.usefixtures("one_task")
def test_impossible_is_let_through_only_where_it_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking(function: Any, case: Case) -> Saw:
        raise HostError("not on this machine")

    only = tasks.exercise("01")
    lacks = replace(only, tasks=(replace(only.tasks[0], check=lacking),))
    monkeypatch.setattr(tasks, "exercises", lambda: (lacks,))
    monkeypatch.setenv(checking.STRICT, "strict,allow-impossible")
    assert check("01.1", answer).word is Word.NOT_POSSIBLE
    monkeypatch.setenv(checking.STRICT, "strict")
    with pytest.raises(NotPassed, match="not possible here"):
        check("01.1", answer)


@pytest.mark.usefixtures("one_task")
def test_an_unknown_task_says_which_there_are() -> None:
    with pytest.raises(DocumentError, match=r"no such task\nchapter 01 has 01\.1"):
        check("01.9", answer)
    with pytest.raises(DocumentError, match="no such exercise"):
        check("42", answer)


def assert_nothing_left() -> None:
    """No folder of a check, and no record of one."""
    folder = Path(state.location(), "checks")
    assert not folder.exists() or list(folder.iterdir()) == []
    assert [one for one in handle.records() if one.kind in ("check", "child")] == []

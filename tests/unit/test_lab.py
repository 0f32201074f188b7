"""What cells call also works where there is no notebook: each value has its text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from labkit import CLONE, Chdir, Chroot, Namespaces, Plan, Unshare, lab, step
from labkit.course import progress
from labkit.errors import DocumentError, NoSuchPath, StateError


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's folder in each test."""
    monkeypatch.setenv("LABKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def test_ready_is_the_doctors_line() -> None:
    assert "this chapter" in repr(lab.ready("02"))
    assert "<section" in lab.ready("02")._repr_html_()
    with pytest.raises(DocumentError, match="no such chapter"):
        repr(lab.ready("42"))


def test_a_prediction_is_asked_recorded_and_recalled() -> None:
    asked = lab.predict("02-kernel", "Which one?", ["its own", "the same"])
    assert asked.text() == "Which one?\n( ) its own\n( ) the same"
    assert repr(lab.recall("02-kernel")) == "You recorded no prediction."
    progress.predict("02-kernel", "the same")
    assert repr(lab.recall("02-kernel")) == "You said: the same"


def test_the_question_of_a_task_is_known() -> None:
    assert lab.predict("01.1").text().startswith("You call fork once.")


def test_a_failure_that_was_announced_is_returned() -> None:
    error = lab.fails("ENOENT", Plan(Chdir("/labkit/nowhere")))
    assert isinstance(error, NoSuchPath)
    assert str(error).startswith('chdir("/labkit/nowhere"): ENOENT\n')
    error = lab.fails("ENOENT", lambda: Plan(Chdir("/labkit/x")).fork().run())
    assert error.errno_name == "ENOENT"


def test_a_failure_that_does_not_come_is_an_error() -> None:
    with pytest.raises(AssertionError, match="EBUSY was announced, and nothing failed"):
        lab.fails("EBUSY", Plan(Chdir("/")))


def test_another_failure_than_the_announced_names_both() -> None:
    with pytest.raises(
        AssertionError, match=r'EBUSY was announced, and it was:\nchdir\("/x'
    ):
        lab.fails("EBUSY", Plan(Chdir("/x")))


def test_a_failure_leaves_no_child() -> None:
    lab.fails("ENOENT", Plan(Chdir("/labkit/nowhere")))
    assert "child" not in lab.left()


def test_the_source_of_anything_says_where_it_is_and_its_pages() -> None:
    head, _, code = lab.source(Chroot).partition("\n\n")
    assert head.startswith("# labkit/primitives/root.py, line ")
    assert head.endswith("(see chroot(2), path_resolution(7))")
    assert code.startswith("@dataclass(") and "linux.chroot(self.path)" in code
    assert lab.source(os.path).startswith("# posixpath.py, line 1, ")


@pytest.mark.parametrize("thing", [3, len, Chdir("/")])
def test_what_has_no_source_says_so(thing: Any) -> None:
    with pytest.raises(DocumentError, match="no source"):
        lab.source(thing)


def test_views_have_a_text() -> None:
    with Plan(Chdir("/")).fork() as child:
        assert "go to /" in lab.watch(child).text()
    assert "uts      shared" in lab.compare(Namespaces.of(), Namespaces.of()).text()


def test_a_card_shows_how_far_the_learner_is() -> None:
    assert "(0 of 5 points)" in lab.card("01").text()
    assert "not attempted" in repr(lab.card("01"))


def test_a_check_that_failed_shows_on_the_card() -> None:
    found = lab.check("01.1", lambda linux, argv: linux.getpid())
    assert found.word == "failed"
    assert "failed (no program was started" in lab.card("01").text()


def test_hints_come_one_after_the_other_and_are_counted() -> None:
    said = [lab.hint("02.1") for _ in range(4)]
    assert [text.partition(":")[0] for text in said] == [
        "02.1, hint 1 of 3",
        "02.1, hint 2 of 3",
        "02.1, hint 3 of 3",
        "02.1, hint 3 of 3",
    ]
    assert progress.standing("02.1").hints == 3


def test_what_is_kept_comes_back(work: Path) -> None:
    lab.catch_up("02")
    said = lab.keep(lab.my_container().start_program)
    assert repr(said).startswith("written to my_container.py, line ")
    assert callable(lab.my_container().start_program)


def test_what_is_yours_and_still_there_is_said() -> None:
    assert lab.left() == "left on this host: nothing"
    with lab.marker("of-a-test") as marker:
        assert "marker of-a-test: yours, and still there" in lab.left()
        assert Path(marker.path).read_text() == marker.text
        assert marker.text.startswith(marker.first_line)
    assert lab.left() == "left on this host: nothing"
    assert not os.path.exists(marker.path)


def test_a_marker_of_the_same_name_is_a_new_secret() -> None:
    with lab.marker("twice") as first, lab.marker("twice") as second:
        assert first.text != second.text
        assert Path(first.path).read_text() == second.text


def test_an_answer_is_a_step_of_any_plan() -> None:
    lab.catch_up("03")
    mine = lab.my_container().enter_root
    plan = Plan(Unshare(CLONE.NEWNS), step(mine, "/box"))
    assert [call.text for call in plan.rehearse()][1:] == [
        'chroot("/box")',
        'chdir("/")',
    ]


def test_without_a_runtime_the_way_to_one_is_said() -> None:
    with pytest.raises(StateError, match="there is none yet"):
        lab.my_container()

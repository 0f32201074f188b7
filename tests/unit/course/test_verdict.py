"""A verdict is one line that is the same in every run."""

from __future__ import annotations

import pytest

from labkit.course.verdict import NotPassed, Stage, Verdict, Word
from labkit.linux.call import Call

HINTS = ("where", "which", "the shape")


def verdict(
    word: Word, observed: str = "it is so", stage: Stage = Stage.NONE
) -> Verdict:
    return Verdict(
        word, "02.1", observed, 2, stage, HINTS, (Call("fork", "fork()", 7.0),)
    )


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (Word.PASSED, "02.1 passed (2/2 points): it is so"),
        (Word.FAILED, "02.1 failed (0/2 points): it is so"),
        (Word.NOT_ATTEMPTED, "02.1 not attempted (0/2 points): it is so"),
        (Word.NOT_POSSIBLE, "02.1 not possible here: it is so"),
        (Word.BROKEN, "02.1 broken: it is so"),
    ],
)
def test_each_word_has_its_line(word: Word, line: str) -> None:
    assert repr(verdict(word)) == line


def test_a_failure_says_in_which_run_it_happened() -> None:
    assert "failed (0/2 points), in the rehearsal:" in repr(
        verdict(Word.FAILED, stage=Stage.REHEARSAL)
    )
    assert "failed (0/2 points), on Linux:" in repr(
        verdict(Word.FAILED, stage=Stage.LINUX)
    )


@pytest.mark.parametrize("word", Word)
def test_only_passed_earns_points(word: Word) -> None:
    assert verdict(word).passed is (word == "passed")
    assert verdict(word).earned == (2 if word == "passed" else 0)


def test_a_hint_is_for_those_who_are_not_there_yet() -> None:
    assert verdict(Word.FAILED).hint == "where"
    assert verdict(Word.NOT_ATTEMPTED).hint == "where"
    assert verdict(Word.PASSED).hint == verdict(Word.NOT_POSSIBLE).hint == ""


def test_the_text_has_the_calls_and_no_time() -> None:
    assert verdict(Word.FAILED).text().splitlines()[1] == "      fork()"


def test_the_error_carries_a_broken_checks_traceback_as_a_note() -> None:
    broken = Verdict(Word.BROKEN, "02.1", "the check", trouble="Traceback ...")
    error = NotPassed(broken)
    assert error.verdict is broken
    assert str(error) == "02.1 broken: the check"
    assert error.__notes__ == ["Traceback ..."]

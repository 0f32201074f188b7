"""Progress survives: a restart, a failure after a success, a damaged file."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from labkit.course import progress
from labkit.course.verdict import Verdict, Word


def verdict(word: Word, observed: str = "seen") -> Verdict:
    return Verdict(word, "02.1", observed, 2)


def test_nothing_is_known_at_first_and_nothing_written(work: Path) -> None:
    assert progress.prediction("02-kernel") is None
    assert progress.standing("02.1") == progress.Standing()
    assert not work.exists()


def test_a_prediction_is_kept_and_can_be_changed(work: Path) -> None:
    progress.predict("02-kernel", "its own")
    progress.predict("02-kernel", "the same")
    assert progress.prediction("02-kernel") == "the same"
    kept = json.loads((work / "my_progress.json").read_text())
    assert set(kept["predictions"]["02-kernel"]) == {"choice", "time"}


def test_a_task_that_has_passed_stays_passed() -> None:
    for word in (Word.FAILED, Word.PASSED, Word.FAILED, Word.BROKEN):
        progress.note(verdict(word, f"seen {word}"))
    found = progress.standing("02.1")
    assert (found.word, found.observed, found.checks) == (Word.PASSED, "seen passed", 4)


def test_the_highest_hint_is_remembered() -> None:
    progress.note_hint("02.1", 2)
    progress.note_hint("02.1", 1)
    assert progress.standing("02.1").hints == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"predictions": 3}', "\0\0"])
def test_a_damaged_file_is_set_aside(work: Path, damage: str) -> None:
    work.mkdir()
    (work / "my_progress.json").write_text(damage)
    with pytest.warns(UserWarning, match=r"kept as my_progress\.damaged-1\.json"):
        progress.predict("a", "b")
    assert (work / "my_progress.damaged-1.json").read_text() == damage
    assert progress.prediction("a") == "b"


def test_a_second_damaged_file_does_not_replace_the_first(work: Path) -> None:
    work.mkdir()
    for text in ("one", "two"):
        (work / "my_progress.json").write_text(text)
        with pytest.warns(UserWarning, match="can't be read"):
            progress.prediction("a")
    kept = sorted(path.read_text() for path in work.glob("*.damaged-*.json"))
    assert kept == ["one", "two"]


def test_two_notebooks_lose_nothing_of_each_other() -> None:
    def write(notebook: int) -> None:
        for number in range(5):
            progress.predict(f"{notebook}-{number}", "yes")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [progress.prediction(f"{n}-{m}") for n in range(3) for m in range(5)]
    assert said == ["yes"] * 15


def test_surprises_differ_from_attempt_to_attempt_and_stay_within_one() -> None:
    first = progress.seed_text("02.1")
    assert progress.seed_text("02.1") == first
    assert progress.seed_text("02.2") != first
    progress.note(verdict(Word.FAILED))
    assert progress.seed_text("02.1") != first


def test_a_given_seed_fixes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_SEED", "7")
    first = progress.seed_text("02.1")
    progress.note(verdict(Word.FAILED))
    assert progress.seed_text("02.1") == first == "7/02.1"

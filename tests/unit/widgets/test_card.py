"""The exercise card, and the prediction."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from labkit.widgets.card import VERDICTS, ExerciseCard, hint_ladder, verdict_chip
from labkit.widgets.prediction import predict, recall


@dataclass(frozen=True)
class Task:
    id: str
    sentence: str
    points: int
    verdict: str | None = None
    observed: str = ""
    hints: tuple[str, ...] = ("where to look", "which call", "the shape")


@dataclass(frozen=True)
class Exercise:
    title: str
    text: str
    notebook: str
    tasks: tuple[Task, ...]


class Kept(dict[str, str]):
    """Progress that is kept in memory."""

    def predict(self, id: str, choice: str) -> None:
        self[id] = choice

    def prediction(self, id: str) -> str | None:
        return self.get(id)


EXERCISE = Exercise(
    "chroot",
    "Give your runtime a root.",
    "../exercises/02_chroot.ipynb",
    (
        Task("02.1", "enter a root", 1, "passed", "/ is the box"),
        Task("02.2", "find the leak", 2, "failed", "<.> was outside"),
        Task("02.3", "close it", 3),
    ),
)


def test_only_what_passed_counts() -> None:
    card = ExerciseCard(EXERCISE)
    assert "1 of 6 points" in card.picture()
    assert '<progress value="1" max="6"' in card.picture()


def test_it_says_what_was_observed() -> None:
    card = ExerciseCard(EXERCISE)
    assert "Observed: &lt;.&gt; was outside" in card.picture()
    assert "- close it: not attempted" in card.text()


def test_hints_are_a_ladder_and_a_task_that_passed_needs_none() -> None:
    ladder = hint_ladder(("a", "b", "c"))
    assert ladder is not None
    assert ladder.index("Hint 1 of 3") < ladder.index("Hint 2 of 3")
    assert ladder.count("<details") == 3
    assert ExerciseCard(EXERCISE).picture().count("Hint 1 of 3") == 2


def test_the_link_leads_to_the_exercise() -> None:
    assert 'href="../exercises/02_chroot.ipynb"' in ExerciseCard(EXERCISE).picture()


@pytest.mark.parametrize("word", VERDICTS)
def test_each_of_the_five_words_stands_in_its_chip(word: str) -> None:
    assert word in verdict_chip(word)


def test_a_prediction_is_met_again() -> None:
    progress = Kept()
    assert repr(recall("k", progress)) == "You recorded no prediction."
    progress.predict("k", "an error")
    assert repr(recall("k", progress)) == "You said: an error"


def test_what_was_said_before_is_chosen_again_if_it_is_still_an_answer() -> None:
    progress = Kept(k="no answer any more")
    asked = predict("k", "Which?", ["this", "that"], progress)
    assert asked.choice is None
    progress.predict("k", "that")
    assert predict("k", "Which?", ["this", "that"], progress).choice == "that"


def test_record_keeps_what_was_chosen() -> None:
    progress = Kept()
    asked = predict("k", "Which?", ["this", "that"], progress)
    assert asked.record.disabled
    asked.choices.value = "that"
    asked.record.click()
    assert progress == {"k": "that"}
    assert repr(asked) == "Which?\n( ) this\n( ) that"

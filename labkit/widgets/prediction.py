"""Predict before you run, and meet your prediction again afterwards.

    predict("02-kernel", "Which kernel ...?", ["its own", "the same"], progress)
    recall("02-kernel", progress)          -> You said: the same

The answer is recorded before the next cell runs, but no cell waits for it: a chapter
that runs from top to bottom, as in a test, needs no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import ipywidgets
from IPython.display import display

from labkit.widgets.browser import style
from labkit.widgets.html import Html, page, tag


class Progress(Protocol):
    """Where predictions are kept: beside the learner's code, for the next time, too."""

    def predict(self, id: str, choice: str) -> None: ...
    def prediction(self, id: str) -> str | None: ...


class Prediction:
    """A question with its answers, to be answered before the next cell runs."""

    def __init__(
        self, id: str, question: str, options: Sequence[str], progress: Progress
    ) -> None:
        self.id, self.question, self.options = id, question, tuple(options)
        self._progress = progress
        # An answer that an older chapter offered is no answer any more.
        said = progress.prediction(id)
        self.choice = said if said in self.options else None
        self.choices = ipywidgets.RadioButtons(
            options=self.options, value=self.choice, layout={"width": "auto"}
        )
        self.record = ipywidgets.Button(
            description="Record", disabled=self.choice is None
        )
        self._note = ipywidgets.HTML(_recorded(self.choice))
        self.choices.observe(self._chosen, "value")
        self.record.on_click(self._record)

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the question and its answers as lines."""
        return "\n".join([self.question, *(f"( ) {option}" for option in self.options)])

    def _ipython_display_(self) -> None:
        listed = tag("ul", *(tag("li", option) for option in self.options))
        still = tag("div", self._asked(), listed, class_="lk lk-predict")
        bundle: dict[str, Any] = dict(self._controls()._repr_mimebundle_())
        bundle |= {"text/plain": self.text(), "text/html": page(still)}
        display(bundle, raw=True)

    def _controls(self) -> Any:
        asked = ipywidgets.HTML(f"<style>{style('predict')}</style>{self._asked()}")
        row = ipywidgets.HBox([self.record, self._note])
        box = ipywidgets.VBox([asked, self.choices, row])
        return box.add_class("lk").add_class("lk-predict")

    def _asked(self) -> Html:
        kind = tag("span", "Predict", class_="chip copy")
        return tag("p", kind, " ", self.question, class_="asked")

    def _chosen(self, _change: object) -> None:
        self.record.disabled = self.choices.value is None

    def _record(self, _button: object) -> None:
        self.choice = self.choices.value
        self._progress.predict(self.id, self.choice)
        self._note.value = _recorded(self.choice)


class Recollection:
    """What was predicted, shown beside what happened."""

    def __init__(self, choice: str | None) -> None:
        self._choice = choice

    def __repr__(self) -> str:
        if self._choice is None:
            return "You recorded no prediction."
        return f"You said: {self._choice}"

    def _repr_html_(self) -> str:
        return page(tag("div", tag("p", repr(self)), class_="lk lk-predict"))


def predict(
    id: str, question: str, options: Sequence[str], progress: Progress
) -> Prediction:
    """Ask for a prediction; what is recorded goes to `progress`."""
    return Prediction(id, question, options, progress)


def recall(id: str, progress: Progress) -> Recollection:
    """Show again what was predicted."""
    return Recollection(progress.prediction(id))


def _recorded(choice: str | None) -> str:
    words = f"recorded: {choice}" if choice else "not recorded yet"
    return tag("span", words, role="status", class_="note")

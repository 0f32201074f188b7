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

from labkit.widgets.html import Html, page, style, tag


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

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the question and its answers as lines."""
        return "\n".join([self.question, *(f"( ) {option}" for option in self.options)])

    def _ipython_display_(self) -> None:
        still = page(tag("div", self._asked(), self._listed(), class_="lk lk-predict"))
        bundle: dict[str, Any] = {"text/plain": self.text(), "text/html": still}
        view = self._controls()
        bundle |= view._repr_mimebundle_()
        bundle["text/plain"] = self.text()
        display(bundle, raw=True)

    def _controls(self) -> Any:
        said = self._progress.prediction(self.id)
        # An answer that an older chapter offered is no answer any more.
        said = said if said in self.options else None
        choice = ipywidgets.RadioButtons(
            options=self.options, value=said, layout={"width": "auto"}
        )
        choice.description_allow_html = False
        record = ipywidgets.Button(description="Record", disabled=said is None)
        note = ipywidgets.HTML(_recorded(said))
        asked = ipywidgets.HTML(f"<style>{style()}</style>{self._asked()}")

        def chosen(_change: object) -> None:
            record.disabled = choice.value is None

        def recorded(_button: object) -> None:
            self._progress.predict(self.id, choice.value)
            note.value = _recorded(choice.value)

        choice.observe(chosen, "value")
        record.on_click(recorded)
        row = ipywidgets.HBox([record, note])
        box = ipywidgets.VBox([asked, choice, row])
        box.add_class("lk")
        box.add_class("lk-predict")
        return box

    def _asked(self) -> Html:
        kind = tag("span", "Predict", class_="chip copy")
        return tag("p", kind, " ", self.question, class_="asked")

    def _listed(self) -> Html:
        return tag("ul", *(tag("li", option) for option in self.options))


class Recollection:
    """What was predicted, shown beside what happened."""

    def __init__(self, choice: str | None) -> None:
        self._choice = choice

    def __repr__(self) -> str:
        if self._choice is None:
            return "You recorded no prediction."
        return f"You said: {self._choice}"

    def _repr_html_(self) -> str:
        return page(tag("div", tag("p", repr(self)), class_="lk lk-recall"))


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

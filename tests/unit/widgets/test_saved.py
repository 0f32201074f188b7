"""What is left of a live view in a saved notebook."""

from __future__ import annotations

from typing import Any

from labkit.widgets.saved import LIVE, before_saving


def saved(data: dict[str, str]) -> dict[str, str]:
    """Return an output's data as it is saved."""
    cell = {"cell_type": "code", "outputs": [{"data": data}]}
    model: dict[str, Any] = {"type": "notebook", "content": {"cells": [cell]}}
    before_saving(model, path="book.ipynb", contents_manager=None)
    return data


def test_a_view_with_a_picture_is_saved_as_the_picture() -> None:
    assert saved({LIVE: "x", "text/html": "<p>"}) == {"text/html": "<p>"}
    assert saved({LIVE: "x", "image/png": "iV"}) == {"image/png": "iV"}


def test_a_view_without_one_stays() -> None:
    assert LIVE in saved({LIVE: "x", "text/plain": "IntSlider()"})


def test_other_files_and_cells_are_left_alone() -> None:
    before_saving({"type": "file", "content": "text"})
    before_saving({"type": "notebook", "content": {"cells": [{"cell_type": "raw"}]}})

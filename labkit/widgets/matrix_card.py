"""The matrix of chapter 00 as a picture: programs down, machines across."""

from __future__ import annotations

from labkit.course.matrix import FAILS, UNKNOWN, WORKS, Matrix
from labkit.widgets.html import Html, card, chip, join, tag

CHIPS = {WORKS: ("memory", "check"), FAILS: ("limit", "cross"), UNKNOWN: ("", "")}


def matrix_card(matrix: Matrix) -> Html:
    """Return a matrix: a chip for each pair, and what it adds up to above."""
    top = tag(
        "tr", tag("td"), *(tag("th", name, scope="col") for name in matrix.machines)
    )
    rows = (
        tag("tr", tag("th", program, scope="row"), *map(_cell, cells))
        for program, cells in zip(matrix.programs, matrix.cells, strict=True)
    )
    table = tag("table", tag("thead", top), tag("tbody", join(rows)))
    return card("matrix", "Every program on every machine", matrix.summary(), table)


def _cell(word: str) -> Html:
    return tag("td", chip(word, *CHIPS[word]))

"""The three lines of an error, wherever a view shows one."""

from __future__ import annotations

from labkit.widgets.html import Html, join, tag


def trouble(text: str) -> Html | None:
    """Return an error's lines: the call, what it means here, what to try."""
    if not text:
        return None
    first, *rest = text.splitlines()
    lines = join(tag("div", line) for line in rest)
    return tag("div", tag("b", first), lines, class_="trouble", role="alert")

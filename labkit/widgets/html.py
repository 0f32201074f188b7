"""HTML made in Python: a tag is a call, text is escaped, signs are inline SVG.

    Html      text that is HTML already
    tag()     one element, its attributes by keyword
    icon()    one of the lab's few signs
    chip()    a word in a small frame, with the colour of its meaning
    card()    the frame of every view
    page()    a card that stands alone, with its style sheet

One picture serves three readers: the live view in a browser, the output that stays in
a saved notebook, and whoever gets it without styles (a screen reader, a notebook that
JupyterLab does not trust yet). So every state is a word before it is a colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from labkit.widgets.browser import style

ICONS = {  # drawn in a box of 16 x 16, as strokes
    "check": "M3.5 8.5l3 3 6-7",
    "cross": "M4 4l8 8M12 4l-8 8",
    "plus": "M8 3v10M3 8h10",
    "minus": "M3.5 8h9",
    "copy": "M6 6h7v7H6zM10 6V3H3v7h3",
    "pause": "M6 4v8M10 4v8",
    "play": "M5 3.5l7 4.5-7 4.5z",
    "opaque": "M3 3h10v10H3zM3 10l7-7M6 13l7-7",
    "lock": "M4 7.5h8V13H4zM5.5 7.5V5.5a2.5 2.5 0 015 0v2",
    "layer": "M8 3l6 3-6 3-6-3zM2 9.5l6 3 6-3",
    "bulb": "M6 11.5h4M6.5 13.5h3M6 11.5c0-2-2-2.5-2-5a4 4 0 018 0c0 2.5-2 3-2 5",
    "fold": "M6 4l4 4-4 4",
    "open": "M9 3h4v4M13 3L7.5 8.5M11 9v4H3V5h4",
}


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Return one element: `tag("li", text, class_="step", data_key=3)`."""
    inside = "".join(markup(child) for child in children)
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    return Html(f"<{name}{given}>{inside}</{name}>")


def markup(child: object) -> str:
    """Return a child as markup: None is nothing, text is escaped, HTML stays."""
    if child is None:
        return ""
    return child if isinstance(child, Html) else escape(str(child))


def join(children: Iterable[object]) -> Html:
    """Return several children as one piece of HTML."""
    return Html("".join(markup(child) for child in children))


def icon(name: str) -> Html:
    """Return a sign; it says nothing that the word beside it does not say."""
    path = tag("path", d=ICONS[name])
    return tag("svg", path, class_="icon", viewBox="0 0 16 16", aria_hidden="true")


def chip(word: str, meaning: str = "", sign: str = "") -> Html:
    """Return a word in a frame; `meaning` is one of the style sheet's colours."""
    return tag("span", icon(sign) if sign else None, word, class_=f"chip {meaning}")


def unseen(text: str) -> Html:
    """Return text for screen readers, and for a page that lost its styles."""
    return tag("span", text, class_="sr")


def button(label: str, do: str, *, main: bool = False, enabled: bool = True) -> Html:
    """Return a button that sends one word to the kernel."""
    kind = "main" if main else "ghost"
    return tag(
        "button", label, type="button", class_=kind, data_do=do, disabled=not enabled
    )


def card(
    kind: str, title: str, note: object, *body: object, side: object = None
) -> Html:
    """Return the frame that every view has: title, one line of note, body."""
    words = tag("div", tag("h4", title), tag("p", note, class_="note"))
    right = tag("div", side, class_="side") if side else None
    head = tag("header", words, right)
    return tag("section", head, *body, class_=f"lk lk-{kind}", aria_label=title)


def page(content: Html) -> Html:
    """Return HTML that stands alone in a saved notebook, with no other file."""
    kinds = sorted(set(re.findall(r'class="lk lk-(\w+)"', content)))
    return Html(f"<style>{style(*kinds)}</style>{content}")


def duration(us: float) -> str:
    """Return a duration in the unit that reads best, from microseconds."""
    if us < 1_000:
        return f"{us:.0f} µs"
    return f"{us / 1_000:.1f} ms" if us < 1_000_000 else f"{us / 1_000_000:.1f} s"


def size(count: int) -> str:
    """Return a size in the unit that reads best, from bytes."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.3g} {unit}"
    return f"{count} bytes"


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'

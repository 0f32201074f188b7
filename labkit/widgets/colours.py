"""The five meanings' colours, for pictures that no style sheet reaches.

browser/look.css has them for the light and for the dark theme; they are read from
there. A PNG in a notebook has to do in both, so a third set lies between: on white and
on JupyterLab's dark grey each has a contrast of at least 3, which lines and large text
need.
"""

from __future__ import annotations

import re
from functools import cache

from labkit.widgets.browser import style

BOTH = {
    "memory": "#0f9d8f",
    "space": "#9a55e8",
    "copy": "#b9780f",
    "image": "#5f7fd0",
    "limit": "#d9304f",
    "ink": "#808080",
}


@cache
def light() -> dict[str, str]:
    """Return meaning to colour on a light surface."""
    return _tokens(0)


@cache
def dark() -> dict[str, str]:
    """Return meaning to colour on a dark surface."""
    return _tokens(1)


def _tokens(which: int) -> dict[str, str]:
    found = re.findall(r"--lk-(\w+):\s*(#[0-9a-f]{6})\b", style())
    return dict(found[which * 5 : which * 5 + 5])

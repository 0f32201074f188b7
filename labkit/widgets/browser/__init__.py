"""What runs in the browser: scripts and style sheets, all of them local files.

    live.js      what every view does         look.css     tokens, and what all share
    page.js      a view that is HTML          plan.css, namespaces.css, layers.css,
    show.js      nothing but the page         meter.css, exercise.css, predict.css,
    layers.js    choosing a path              table.css, error.css: a sheet a kind
    draw.js, chart.js, meter.js

There is no bundler: a view's module is its files, one after the other.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def script(*names: str) -> str:
    """Return the text of one ES module made from several files."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


@cache
def style(*kinds: str) -> str:
    """Return the shared style sheet and those of some kinds of card, made short."""
    sheets = ("look", *kinds)
    files = [HERE / f"{name}.css" for name in sheets]
    text = "".join(f.read_text(encoding="utf-8") for f in files if f.exists())
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    text = re.sub(r"\s+", " ", text)
    return re.sub(r" ?([{};,]) ?", r"\1", text).strip()

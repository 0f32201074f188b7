"""A link that saves a file from the notebook's output, wherever the server is."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from labkit.widgets.html import page, tag


@dataclass(frozen=True, slots=True)
class Download:
    """A file to take away; its picture is a link that has the file in it."""

    path: Path
    content: bytes

    def __repr__(self) -> str:
        return f"{self.path.name}, {len(self.content) / 1024:.0f} KiB"

    def _repr_html_(self) -> str:
        encoded = base64.b64encode(self.content).decode()
        link = tag(
            "a",
            f"save {self.path.name}",
            href=f"data:application/octet-stream;base64,{encoded}",
            download=self.path.name,
            class_="button main",
        )
        later = f"Later, there: upload it and run lab.restore('{self.path.name}')."
        return page(tag("section", tag("p", link), tag("p", later), class_="lk"))

"""The README tells the truth: its links lead somewhere, its line counts are counted.

python -m tests.style.test_readme      writes the line counts anew
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.style.library import PROJECT

README = PROJECT / "README.md"
# A row of the reading order: | [name](path) | lines | ...
ROW = re.compile(r"^(\| \[[^]]+\]\()([^)]+)(\) \| )(\d+|\?)( \|)", re.MULTILINE)


def test_every_link_leads_somewhere() -> None:
    """To a file or a folder of the project."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text())
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_the_line_counts_are_counted() -> None:
    """To the nearest ten; the docstring above says how to write them."""
    assert README.read_text() == with_counts(README.read_text())


def with_counts(text: str) -> str:
    """Return the README with the line counts of today."""
    return ROW.sub(
        lambda row: "".join((*row.group(1, 2, 3), counted(row[2]), row[5])), text
    )


def counted(path: str) -> str:
    """Return the lines of a module, or of all modules in a folder, to the nearest ten."""
    place: Path = PROJECT / path
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return str(round(sum(len(f.read_text().splitlines()) for f in files), -1))


if __name__ == "__main__":
    README.write_text(with_counts(README.read_text()))

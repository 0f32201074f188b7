"""The README tells the truth: its links lead somewhere, its line counts are counted.

python -m tests.style.test_readme      writes the line counts anew
"""

from __future__ import annotations

import re
from pathlib import Path

from tests.style.sources import PROJECT

README = PROJECT / "README.md"
# A row of the reading order: | [name](path) | lines | ...
ROW = re.compile(r"^(\| \[[^]]+\]\()([^)]+)(\) \| )(\d+|\?)( \|)", re.MULTILINE)


def test_every_link_leads_somewhere() -> None:
    """To a file or a folder of the project."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text())
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_the_line_counts_are_counted() -> None:
    """Within a tenth; the docstring above says how to write them anew."""
    rows = [(row[2], int(row[4])) for row in ROW.finditer(README.read_text())]
    assert rows
    wrong = [path for path, said in rows if abs(said - lines(path)) > 10 + said // 10]
    assert wrong == []


def with_counts(text: str) -> str:
    """Return the README with the line counts of today, to the nearest ten."""
    return ROW.sub(
        lambda row: f"{row[1]}{row[2]}{row[3]}{round(lines(row[2]), -1)}{row[5]}", text
    )


def lines(path: str) -> int:
    """Return the lines of a module, or of all modules in a folder."""
    place: Path = PROJECT / path
    files = place.rglob("*.py") if place.is_dir() else [place]
    return sum(len(file.read_text().splitlines()) for file in files)


if __name__ == "__main__":
    README.write_text(with_counts(README.read_text()))

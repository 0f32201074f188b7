"""The doctor's report: per chapter what is real here, and what to do about the rest.

examine(host) -> Report     no privilege needed, nothing changed
    .line() .line("03")     one sentence, for the lab or for one chapter
    .text()                 the whole table
    .exit_code              0 when everything is real, 1 otherwise
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from labkit.doctor.chapters import CHAPTERS, Chapter, Need
from labkit.doctor.facts import facts
from labkit.errors import DocumentError
from labkit.host import Host
from labkit.text import Text


class Word(StrEnum):
    """How much of a chapter is real on this machine."""

    REAL = "real"
    PARTLY = "partly"
    NOT_HERE = "not here"


_PHRASES = {
    Word.REAL: "real in chapters",
    Word.PARTLY: "in part in",
    Word.NOT_HERE: "not in",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is missing: what for, what was observed, what to do."""

    need: str
    observed: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ChapterReport:
    """One chapter on this machine."""

    number: str
    title: str
    word: Word
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Every chapter on this machine."""

    host: Host
    chapters: tuple[ChapterReport, ...]

    @property
    def exit_code(self) -> int:
        """0 when everything is real here, 1 when something isn't."""
        return 0 if all(one.word is Word.REAL for one in self.chapters) else 1

    def chapter(self, number: str) -> ChapterReport:
        """Return one chapter's report.

        Raises: DocumentError when there is no such chapter.
        """
        found = next((one for one in self.chapters if one.number == number), None)
        if found is None:
            known = ", ".join(one.number for one in self.chapters)
            raise DocumentError(
                f'chapter "{number}": no such chapter',
                'two digits, as in lab.ready("03")',
                meaning=f"there are {known}",
            )
        return found

    def line(self, number: str | None = None) -> str:
        """Say in one sentence what is real here: of the lab, or of one chapter."""
        if number is not None:
            return f"{self.host}: {_sentence(self.chapter(number))}"
        if self.exit_code == 0:
            first, last = self.chapters[0].number, self.chapters[-1].number
            return f"{self.host}: everything in chapters {first}-{last} is real here"
        parts = [
            f"{phrase} {', '.join(self._with(word))}"
            for word, phrase in _PHRASES.items()
            if self._with(word)
        ]
        return f"{self.host}: {'; '.join(parts)}"

    def text(self) -> Text:
        """Return the whole report as an aligned table."""
        parts = (self._table(), self._todo(), self._facts())
        return Text("\n".join((self.line(), "", *chain(*parts))))

    def to_json(self) -> dict[str, object]:
        """Return the report as a JSON-able mapping."""
        return {
            "line": self.line(),
            "exit_code": self.exit_code,
            "chapters": [
                {
                    "number": one.number,
                    "title": one.title,
                    "word": one.word.value,
                    "missing": [
                        {"need": f.need, "observed": f.observed, "remedy": f.remedy}
                        for f in one.findings
                    ],
                }
                for one in self.chapters
            ],
            "machine": dict(facts(self.host)),
        }

    def _with(self, word: Word) -> list[str]:
        return [one.number for one in self.chapters if one.word is word]

    def _table(self) -> Iterator[str]:
        width = max(len(one.title) for one in self.chapters)
        for one in self.chapters:
            missing = ", ".join(finding.need for finding in one.findings)
            row = f"  {one.number}  {one.title:<{width}}  {one.word:<8}  "
            yield (row + (f"missing: {missing}" if missing else "")).rstrip()

    def _todo(self) -> Iterator[str]:
        # One paragraph for each remedy, because one command often gives several things.
        todo: dict[tuple[str, str], list[str]] = {}
        for finding in (f for one in self.chapters for f in one.findings):
            needs = todo.setdefault((finding.remedy, finding.observed), [])
            needs += [finding.need] if finding.need not in needs else []
        if todo:
            yield from ("", "what to do")
        for (remedy, observed), needs in todo.items():
            yield f"  {', '.join(needs)}: {observed}"
            yield f"      {remedy}"

    def _facts(self) -> Iterator[str]:
        rows = facts(self.host)
        width = max(len(name) for name, _ in rows)
        yield from ("", "this machine")
        for name, value in rows:
            yield f"  {name:<{width}}  {value}"


def examine(host: Host) -> Report:
    """Look up in a Host what each chapter needs.

    Args: host [a probed one, or one built by hand].
    Returns: the report; equal for equal hosts.
    Raises: nothing.
    Needs: nothing.
    """
    return Report(host, tuple(_examine(chapter, host) for chapter in CHAPTERS))


def _examine(chapter: Chapter, host: Host) -> ChapterReport:
    needed = tuple(_missing(chapter.needs, host))
    also = tuple(_missing(chapter.also, host))
    word = Word.NOT_HERE if needed else Word.PARTLY if also else Word.REAL
    return ChapterReport(chapter.number, chapter.title, word, (*needed, *also))


def _missing(needs: tuple[Need, ...], host: Host) -> Iterator[Finding]:
    for need in needs:
        if observed := need.observed(host):
            yield Finding(need.name, observed, need.remedy(host))


def _sentence(chapter: ChapterReport) -> str:
    if chapter.word is Word.REAL:
        return "everything in this chapter is real here"
    first = chapter.findings[0]
    names = ", ".join(finding.need for finding in chapter.findings)
    how_much = (
        "is real in part" if chapter.word is Word.PARTLY else "can't be real here"
    )
    return f"this chapter {how_much}, without {names}; try: {first.remedy}"

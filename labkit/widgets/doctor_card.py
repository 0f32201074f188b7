"""The doctor's report in a notebook: one line, and the whole table one fold away."""

from __future__ import annotations

from labkit.doctor import ChapterReport, Report, Word
from labkit.doctor.facts import facts
from labkit.widgets.html import Html, chip, join, tag

CHIPS = {
    Word.REAL: ("memory", "check"),
    Word.PARTLY: ("copy", "minus"),
    Word.NOT_HERE: ("limit", "lock"),
}


def doctor_card(report: Report, chapter: str | None = None) -> Html:
    """Return a report: of one chapter if it is named, else of all."""
    rows = join(map(_row, report.chapters))
    machine = join(
        tag("tr", tag("th", tag("b", name), scope="row"), tag("td", value, colspan=3))
        for name, value in facts(report.host)
    )
    fold = tag(
        "details",
        tag("summary", "what is real on this machine"),
        tag("table", tag("tbody", rows)),
        tag("table", tag("tbody", machine)),
        class_="fold",
    )
    line = tag("p", _word(report, chapter), " ", report.line(chapter), class_="line")
    return tag("section", line, fold, class_="lk lk-table", aria_label="Doctor")


def _word(report: Report, chapter: str | None) -> Html | None:
    return None if chapter is None else _chip(report.chapter(chapter).word)


def _chip(word: Word) -> Html:
    return chip(word, *CHIPS[word])


def _row(chapter: ChapterReport) -> Html:
    missing = join(
        tag("div", tag("b", f"{f.need}: "), f"{f.observed}; {f.remedy}")
        for f in chapter.findings
    )
    return tag(
        "tr",
        tag("th", tag("b", chapter.number), scope="row"),
        tag("td", chapter.title),
        tag("td", _chip(chapter.word)),
        tag("td", missing, class_="note"),
    )

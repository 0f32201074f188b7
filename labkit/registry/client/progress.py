"""Who watches a pull or a push, and how it is drawn. Chapter 12.

Each blob says how far it is; a subscriber gets it in the thread that called pull or
push. On a terminal that is a bar for each blob, elsewhere a line when one is done.

Reading order: Phase, Moved, shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TextIO

from labkit.image.digest import Digest

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Subscriber = Callable[["Moved"], None]


class Phase(StrEnum):
    """What happens to a blob."""

    PULLING = "pulling"
    PUSHING = "pushing"
    AGAIN = "trying again"
    THERE = "already there"
    MOUNTED = "mounted"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one blob is.

    Args: done, total [bytes]; why [of another try].
    """

    digest: Digest
    phase: Phase
    done: int
    total: int
    why: str = ""


def nobody(moved: Moved) -> None:
    """Watch nothing."""


@contextmanager
def shown(stream: TextIO) -> Iterator[Subscriber]:
    """Draw what happens: bars on a terminal, lines elsewhere."""
    if not stream.isatty():
        yield _lines(stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[phase]}"),
    )
    with Progress(*columns, console=Console(file=stream)) as progress:
        yield _bars(progress)


def _bars(progress: Progress) -> Subscriber:
    tasks: dict[Digest, TaskID] = {}

    def draw(moved: Moved) -> None:
        if moved.digest not in tasks:
            tasks[moved.digest] = progress.add_task(moved.digest.short, phase="")
        progress.update(
            tasks[moved.digest],
            completed=moved.done,
            total=moved.total,
            phase=moved.why or moved.phase,
        )

    return draw


def _lines(stream: TextIO) -> Subscriber:
    def write(moved: Moved) -> None:
        if moved.phase not in (Phase.PULLING, Phase.PUSHING):
            why = f": {moved.why}" if moved.why else ""
            line = f"{moved.digest.short}  {moved.phase}, {moved.total} bytes{why}"
            print(line, file=stream, flush=True)

    return write

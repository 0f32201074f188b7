"""Which cell runs now: asked by views that close, and by threads that read on.

Two facts come from here. A view closes when the cell that made it runs again. And a
running cell keeps the kernel from hearing that the browser still shows a view, so a
sampler takes a running cell for a sign of life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from IPython.core.getipython import get_ipython


class Closable(Protocol):
    """A view, as far as this module is concerned."""

    def close(self) -> None: ...


@dataclass(slots=True)
class _Now:
    cell: str | None = None
    run: int = 0
    running: bool = False
    shell: object = None  # whose cells these are


_now = _Now()
# cell id -> (number of the run, the views which that run made)
_views: dict[str, tuple[int, list[Closable]]] = {}


def running() -> bool:
    """Say whether a cell is running."""
    return _now.running and _now.shell is get_ipython()


def adopt(view: Closable) -> None:
    """Let a view belong to the cell that runs now; an earlier run's views close."""
    _watch()
    if _now.cell is None:
        return
    run, views = _views.get(_now.cell, (_now.run, []))
    if run != _now.run:
        for old in views:
            old.close()
        run, views = _now.run, []
    _views[_now.cell] = (run, [*views, view])


def _watch() -> None:
    shell = get_ipython()
    if shell is None or _now.shell is shell:
        return
    _now.shell = shell
    shell.events.register("pre_run_cell", _begins)
    shell.events.register("post_run_cell", _ends)
    # The hooks were not there yet when the cell that runs now began.
    _now.running = True
    _now.run += 1


def _begins(info: object) -> None:
    _now.cell = getattr(info, "cell_id", None)
    _now.run += 1
    _now.running = True


def _ends(_result: object) -> None:
    _now.running = False

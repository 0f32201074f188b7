"""What a test does with a page that shows a notebook."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, Page

RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
RUN_CELL = """index => {
  window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
  return window.jupyterapp.commands.execute('notebook:run-cell');
}"""
RUN_MS = 180_000


def run_all(page: Page) -> None:
    """Run every cell, in order, and wait until the last has ended."""
    page.evaluate(RUN_ALL)  # a promise: it is kept when the cells have run
    wait_until_idle(page)


def run_cell(page: Page, index: int, *, wait: bool = True) -> None:
    """Run one cell; without waiting where its end is not what the test is about."""
    page.evaluate(RUN_CELL if wait else f"index => {{ ({RUN_CELL})(index) }}", index)


def wait_until_idle(page: Page, timeout_ms: float = RUN_MS) -> None:
    """Wait until no cell runs or waits: each shows a number, not a star."""
    page.wait_for_function(
        """() => {
             const book = window.jupyterapp.shell.currentWidget;
             const kernel = book.context.sessionContext.session?.kernel;
             const runs = ({ model }) =>
               model.type === 'code' && model.executionState === 'running';
             return kernel?.status === 'idle' && !book.content.widgets.some(runs);
           }""",
        timeout=timeout_ms,
    )


def cell_errors(page: Page) -> list[str]:
    """Return what cells raised, a line each: number, error, its first line."""
    found: list[str] = page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets.flatMap(
             (cell, i) => (cell.model.outputs?.toJSON() ?? [])
               .filter((output) => output.output_type === 'error')
               .map((o) => `${i}: ${o.ename}: ${o.evalue.split('\\n')[0]}`))"""
    )
    return found


def output(page: Page, index: int) -> Locator:
    """Return the output area of a cell."""
    return page.locator(".jp-Notebook-cell").nth(index).locator(".jp-Cell-outputArea")


def save(page: Page) -> None:
    """Save the notebook, as Ctrl+S does."""
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")


def picture(page: Page, index: int, path: Path) -> None:
    """Photograph a cell's output, for people to look at."""
    area = output(page, index)
    area.scroll_into_view_if_needed()
    area.screenshot(path=path)

"""A JupyterLab and a browser for the tests of a module.

    lab                     the running JupyterLab; lab.add(name, cells) makes a notebook
    lab_page(notebook)      opens one in the browser, from the lab's root or from anywhere
    run_all(page)           runs every cell and waits until the kernel is idle
    cell_errors(page)       what the cells raised: ename and the first line, one a cell

The last two, and the rest of what a test does with a page, are in tests/browser/driving.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.jupyterlab import Lab, open_notebook, running_lab

FLAGS = [
    "--no-sandbox",  # the tests run as root, also in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab whose root is a directory of its own."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def lab_page(lab: Lab, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a notebook; the kernel ends with the test."""
    contexts = []

    def opened(notebook: Path, theme: str = "light") -> Page:
        context = browser.new_context(viewport={"width": 1100, "height": 900})
        contexts.append(context)
        return open_notebook(lab, context.new_page(), notebook, theme)

    yield opened
    lab.shut_down_kernels()
    for context in contexts:
        context.close()

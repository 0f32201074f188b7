"""A JupyterLab and a browser for the tests of a module.

    lab                  the running JupyterLab; lab.add(name, cells) makes a notebook
    lab_page(notebook)   opens one in the browser, wherever it lies, for one test
    shared_page(...)     the same for all tests of a module

What a test does with a page is in tests/browser/driving.py:

    run_all(page)        runs every cell and waits until the kernel is idle
    cell_errors(page)    what the cells raised, a line each
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.browser.jupyterlab import Lab, open_notebook, running_lab

expect.set_options(timeout=30_000)  # a shared machine can be slow

OpenPage = Callable[..., Page]
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
def browser(chromium: Path) -> Iterator[BrowserContext]:
    """A browser without a window; its pages share what they have loaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_context(viewport={"width": 1100, "height": 900})
        browser.close()


@pytest.fixture
def lab_page(lab: Lab, browser: BrowserContext) -> Iterator[OpenPage]:
    """Open a notebook; the page and the kernel end with the test."""
    with opening_pages(lab, browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared_page(lab: Lab, browser: BrowserContext) -> Iterator[OpenPage]:
    """Open a notebook for all tests of a module: they run its cells again."""
    with opening_pages(lab, browser) as opened:
        yield opened


@contextmanager
def opening_pages(lab: Lab, browser: BrowserContext) -> Iterator[OpenPage]:
    """Close the pages that were opened in the block, and end their kernels."""
    pages = []

    def opened(notebook: Path, theme: str = "light") -> Page:
        pages.append(browser.new_page())
        return open_notebook(lab, pages[-1], notebook, theme)

    yield opened
    for page in pages:
        page.close()
    lab.shut_down_kernels()

"""Start JupyterLab for tests, and open a notebook in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from playwright.sync_api import Page

PROJECT = Path(__file__).parents[2]
START_S = 60
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
OPTIONS = [
    "--no-browser",
    "--allow-root",
    "--LabApp.log_level=ERROR",
    "--ServerApp.log_level=ERROR",
    "--ServerApp.ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--ServerApp.open_browser=False",
    "--IdentityProvider.token=",
    "--ServerApp.disable_check_xsrf=True",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.news_url=None",
    "--FileContentsManager.pre_save_hook=labkit.widgets.saved.before_saving",
]


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address and its root directory."""

    url: str
    root: Path

    def add(self, name: str, cells: Sequence[str]) -> Path:
        """Write a notebook of code cells below the root; return its path."""
        book = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL})
        book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(book, path)
        return path

    def adopt(self, notebook: Path) -> Path:
        """Return a notebook's path below the root, copied there if need be."""
        if notebook.is_relative_to(self.root):
            return notebook
        copy = self.root / notebook.parent.name / notebook.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(notebook, copy))

    def shut_down_kernels(self) -> None:
        """End every kernel, as its menu entry in JupyterLab does."""
        for session in self.ask("/api/sessions"):
            self.ask(f"/api/sessions/{session['id']}", "DELETE")

    def ask(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        """Send a request to the server; return what it answered."""
        request = urllib.request.Request(self.url + path, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else []


@contextmanager
def running_lab(root: Path, *, tidy: bool = True) -> Iterator[Lab]:
    """Run a JupyterLab of our own; it and its kernels end with the block.

    Args: tidy [end the kernels first; False leaves that to Jupyter].
    """
    port = _free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        "JUPYTER_CONFIG_DIR": str(root / ".config"),
        "JUPYTER_DATA_DIR": str(root / ".data"),  # where it keeps which books it trusts
        "JUPYTERLAB_SETTINGS_DIR": str(root / ".settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / ".workspaces"),
        "IPYTHONDIR": str(root / ".ipython"),
    }
    place = [f"--ServerApp.port={port}", f"--ServerApp.root_dir={root}"]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *OPTIONS, *place],
        env=environment,
        cwd=root,
    )
    lab = Lab(f"http://127.0.0.1:{port}", root)
    try:
        _wait_until_it_answers(lab, server)
        yield lab
        if tidy:
            lab.shut_down_kernels()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=20)


def open_notebook(lab: Lab, page: Page, notebook: Path, theme: str) -> Page:
    """Open a notebook alone in a page, and wait until its kernel can be asked."""
    path = lab.adopt(notebook).relative_to(lab.root)
    page.goto(f"{lab.url}/doc/tree/{path}?reset")
    page.wait_for_function(
        """() => window.jupyterapp?.shell.currentWidget?.context?.isReady
             && window.jupyterapp.shell.currentWidget.context.sessionContext.isReady"""
    )
    show_in(page, theme)
    return page


def show_in(page: Page, theme: str) -> None:
    """Change JupyterLab's theme: "light" or "dark"."""
    page.evaluate(
        """name => window.jupyterapp.commands.execute(
             'apputils:change-theme', {theme: `JupyterLab ${name}`})""",
        theme.title(),
    )
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light",
        arg=str(theme == "light").lower(),
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(lab: Lab, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with code {server.returncode}")
        try:
            lab.ask("/api/sessions")
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)

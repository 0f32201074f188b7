"""Running a notebook from top to bottom, and keeping its outputs. For authors.

The outputs are kept as a reader without a kernel needs them: no widget's model, no
times. What is the same in every run gives the same file in every run.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from labkit import state
from labkit.course import work
from labkit.course.checking import STRICT
from labkit.course.solutions import project
from labkit.host.places import VARIABLE as STATE
from labkit.linux.views import HostPath
from labkit.network.networks import PREFIX
from labkit.plan import handle
from labkit.primitives.overlay import remove_tree

CELL_S = 120
_NEEDS_A_KERNEL = "application/vnd.jupyter.widget-view+json"
_OF_THE_EDITOR = ("execution", "ExecuteTime", "collapsed", "scrolled", "trusted")


def run(path: Path, checks: str = "strict,allow-impossible") -> str:
    """Run a notebook in a lab of its own; return its text with fresh outputs.

    Args: path [of the .ipynb file; it isn't changed]; checks [what LABKIT_CHECK says].
    Raises: nbclient's CellExecutionError when a cell fails, CellTimeoutError when it
        doesn't end.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        cell.metadata = {
            k: v for k, v in cell.metadata.items() if k not in _OF_THE_EDITOR
        }
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        store_widget_state=False,
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    with _a_lab_of_its_own() as places:
        client.execute(env={**os.environ, **places, STRICT: checks})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _tidy(cell.outputs)
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}  # not this Python's version
    text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
    return f"{_elsewhere(text, places)}\n"


def _elsewhere(text: str, places: Mapping[str, str]) -> str:
    # An author's own directories are no reader's: the usual ones stand for them.
    usual = {places[STATE]: "/var/lib/labkit", str(project()): "/home/you/labkit"}
    for here, there in usual.items():
        text = text.replace(here, there)
    # A state of its own has bridges of its own: labkit-3f2a-0 is any reader's labkit0.
    return re.sub(rf"{PREFIX}-[0-9a-f]{{4}}-(?=\d)", PREFIX, text)


@contextmanager
def _a_lab_of_its_own() -> Iterator[dict[str, str]]:
    # Below the state, because an overlay's upper directory may lie there.
    name = f"notebook-{secrets.token_hex(4)}"
    folder = HostPath(os.path.join(state.layers_directory("checks"), name))
    record = handle.record("check", name, {"directory": folder})
    os.mkdir(folder, 0o711)  # containers with other user ids pass through here
    places = {STATE: f"{folder}/state", work.VARIABLE: f"{folder}/work"}
    try:
        yield places
    finally:
        remove_tree(folder)
        record.forget()


def _tidy(outputs: list[Any]) -> list[Any]:
    tidy: list[Any] = []
    for output in outputs:
        output.get("data", {}).pop(_NEEDS_A_KERNEL, None)
        last = tidy[-1] if tidy else {}
        # How a stream was cut into messages is chance.
        if output.get("name") and output.get("name") == last.get("name"):
            last["text"] += output["text"]
        elif output.get("data", True):
            tidy.append(output)
    return tidy

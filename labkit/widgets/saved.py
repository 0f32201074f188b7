"""What a saved notebook keeps of a live view: its picture, not the wire to the kernel.

A view's output names a model that lives in the kernel. Opened again with another
kernel, JupyterLab would show "model not found" in place of the picture beside it. So
the name is left out when a notebook is saved (with `before_saving` as JupyterLab's
hook) and when chapters are published (`unplug`).
"""

from __future__ import annotations

from typing import Any

LIVE = "application/vnd.jupyter.widget-view+json"
PICTURES = ("text/html", "image/png")


def unplug(notebook: dict[str, Any]) -> None:
    """Leave out of every output the live view that has a picture beside it."""
    for cell in notebook.get("cells", []):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if any(kind in data for kind in PICTURES):
                data.pop(LIVE, None)


def before_saving(model: dict[str, Any], **_: Any) -> None:
    """Do so when Jupyter saves: `FileContentsManager.pre_save_hook`."""
    if model["type"] == "notebook":
        unplug(model["content"])

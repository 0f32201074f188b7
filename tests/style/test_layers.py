"""Imports go down only: a learner can read a layer without knowing those above it.

The layers themselves are in pyproject.toml, under tool.importlinter.
"""

from __future__ import annotations

import ast

import pytest

from tests.style.sources import PROJECT, Module, modules
from tests.style.test_tools import says

JUPYTER = {"IPython", "anywidget", "ipykernel", "ipywidgets", "matplotlib", "traitlets"}


def test_imports_go_down_only() -> None:
    """A picture of the layers is in README.md."""
    says("lint-imports", "--no-cache")


@pytest.mark.parametrize("module", modules(), ids=str)
def test_only_the_widgets_know_jupyter(module: Module) -> None:
    """All else works in a terminal, too, and is imported in half the time.

    The lab VM starts Jupyter's kernels: its agent imports what those will need.
    """
    if module.folder not in ("widgets", "vm"):
        assert {name.split(".")[0] for name in imported(module)} & JUPYTER == set()


@pytest.mark.parametrize("module", modules(), ids=str)
def test_a_module_imports_from_where_a_name_is_made(module: Module) -> None:
    """Not from labkit itself, which stands above everything and imports it all."""
    imports = [
        node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom)
    ]
    names = [n.name for node in imports if node.module == "labkit" for n in node.names]
    assert [name for name in names if not is_module(name)] == []


def test_every_folder_is_a_package() -> None:
    """One without __init__.py is neither installed nor seen by the check above."""
    folders = {module.path.parent for module in modules()}
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def imported(module: Module) -> list[str]:
    """Return the dotted names of the modules that a module imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


def is_module(name: str) -> bool:
    """Say whether labkit has a module or a folder of this name."""
    found = PROJECT / "labkit" / name
    return found.is_dir() or found.with_suffix(".py").is_file()

"""The project's own source, read once: modules, classes and functions as trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | Function


@dataclass(frozen=True)
class Module:
    """One file of labkit/; str() is its path, as a test's name shows it."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @property
    def folder(self) -> str:
        """Return the folder below labkit/, or "" for a file right in it."""
        return str(self).split("/")[1] if str(self).count("/") > 1 else ""

    @property
    def package(self) -> str:
        """Return the directory that it is in: a package within another counts alone."""
        return str(self.path.parent.relative_to(PROJECT))

    @cached_property
    def text(self) -> str:
        """Return the source."""
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        """Return the source as a tree."""
        return ast.parse(self.text, str(self))

    def code_lines(self) -> int:
        """Count the lines that do something: no docstrings, comments, empty lines."""
        skipped = {
            line
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        lines = enumerate(self.text.splitlines(), 1)
        words = (text.strip() for number, text in lines if number not in skipped)
        return sum(bool(word) and not word.startswith("#") for word in words)

    def named(self) -> Iterator[tuple[str, ast.ClassDef | Function]]:
        """Yield each class, function and method with its dotted name, top-down."""
        yield from _named(self.tree, "")


def modules(folder: str = "") -> list[Module]:
    """Return the modules below labkit/, in the order of their paths."""
    return [
        Module(path) for path in sorted((PROJECT / "labkit" / folder).rglob("*.py"))
    ]


def body_lines(function: Function) -> int:
    """Return how many lines a function has without its docstring."""
    first = function.body[0]
    docstring = ast.get_docstring(function, clean=False) is not None
    words = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - words


def is_public(name: str) -> bool:
    """Say whether no part of a dotted name begins with an underscore."""
    return not any(part.startswith("_") for part in name.split("."))


def _named(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef | Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{child.name}", child
            # What is inside a function is that function's own business.
            if isinstance(child, ast.ClassDef):
                yield from _named(child, f"{prefix}{child.name}.")

"""Which names a function uses from outside itself, and where a file gets them from.

A name of a library becomes an import, a plain value a line of its own, another function
of the notebook has to be kept, too.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import symtable
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import labkit
from labkit.errors import DocumentError

OF_THE_NOTEBOOK = ("__main__", "my_container")
_NAME = "cell"  # in the messages of symtable


@dataclass(slots=True)
class Origins:
    """Where a function's names come from."""

    imports: set[tuple[str, str]] = field(default_factory=set)
    constants: dict[str, str] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)  # functions of the notebook


def outside_names(source: str) -> set[str]:
    """Return the names that a definition uses and doesn't make itself."""
    table = symtable.symtable(source, _NAME, "exec")
    made = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
    return set(_used(table)) - made - set(dir(builtins))


def origins(source: str, namespace: Mapping[str, Any]) -> Origins:
    """Find where each name that a definition uses comes from.

    Args: source [of one function or class]; namespace [its module's globals].
    Raises: DocumentError for a value that a file can't get.
    """
    found = Origins()
    for name in sorted(outside_names(source)):
        if name in namespace:
            _find(found, name, namespace[name])
    return found


def _find(found: Origins, name: str, value: Any) -> None:
    if isinstance(value, ModuleType):
        renamed = "" if value.__name__ == name else f" as {name}"
        found.imports.add((f"{value.__name__}{renamed}", ""))
        return
    home = _home(name, value)
    if home:
        found.imports.add((home, name))
    elif getattr(value, "__module__", None) in OF_THE_NOTEBOOK:
        found.others[name] = value
    elif _is_plain(value):
        found.constants[name] = repr(value)
    else:
        raise DocumentError(
            f"{name}: a value that a file can't get from anywhere",
            f"make {name} inside the function, or give it as an argument",
            meaning=f"it is a {type(value).__name__} that exists in this notebook only",
        )


def _home(name: str, value: Any) -> str:
    # labkit itself first: its names are in the list that a chapter imports from.
    for module in ("labkit", str(getattr(value, "__module__", None) or "")):
        if module in ("", "builtins", *OF_THE_NOTEBOOK):
            continue
        there = labkit if module == "labkit" else importlib.import_module(module)
        if getattr(there, name, None) is value:
            return module
    return ""


def _is_plain(value: Any) -> bool:
    # Numbers, texts and tuples of them: their repr is their source.
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError):
        return False


def _used(table: symtable.SymbolTable) -> Iterator[str]:
    # At the top level: decorators, defaults and annotations. Inside: what is global.
    for symbol in table.get_symbols():
        at_top = table.get_type() == "module" and symbol.is_referenced()
        if at_top or symbol.is_global():
            yield symbol.get_name()
    for inner in table.get_children():
        yield from _used(inner)

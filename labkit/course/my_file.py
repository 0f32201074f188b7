"""my_container.py as text: sections, imports, functions. Nothing here touches a disk.

    put(text, piece, chapter)    the text with a function put in, or replaced
    line_of(text, name)          where it is

What the learner wrote by hand stays as it is: functions go in and out as lines.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from labkit.errors import DocumentError

FILE = "my_container.py"
HEAD = '''\
"""My container runtime: what I wrote in the lab, chapter by chapter.

lab.keep(function) writes a function here from the cell where it worked, and replaces
an older one. I may edit the file by hand, too: lab.my_container() reads it afresh.
"""

from __future__ import annotations
'''
TITLES = {
    "01": "A process",
    "02": "chroot: its own files",
    "03": "cgroups: how much it may take",
    "04": "Namespaces: what it may see",
    "05": "pivot_root and mounts: the locked door",
    "06": "OverlayFS: shared layers",
    "07": "A container",
    "08": "Privileges: root in pieces",
    "09": "The runtime: what it is told",
    "10": "Break out: holes closed",
    "11": "Images: layers from archives",
    "12": "Registries: who may fetch them",
    "13": "Networks: a card and an address",
    "14": "Data that stays: volumes",
    "": "My own",
}
_SECTION = re.compile(r"^# ---- (\d\d)?.* -+$")
_WIDTH = 88
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Piece:
    """A function or class with what it needs at the top of the file."""

    name: str
    source: str
    imports: frozenset[tuple[str, str]] = frozenset()  # ("labkit", "MS"), ("os", "")
    constants: tuple[tuple[str, str], ...] = ()  # (name, value as source)


def put(text: str, piece: Piece, chapter: str) -> str:
    """Return the file's text with a piece in it; an earlier version is replaced.

    Args: text ["" for a file that isn't there yet]; chapter ["02"; "" for none].
    Raises: DocumentError when the text isn't Python.
    """
    text = _with_imports(text or HEAD, piece.imports)
    text = _with_constants(text, piece.constants)
    found = definitions(text).get(piece.name)
    if found is None:
        return _added(text, piece.source, chapter)
    lines = text.splitlines()
    lines[_first_line(found) - 1 : found.end_lineno] = (
        piece.source.rstrip().splitlines()
    )
    return "\n".join(lines) + "\n"


def definitions(text: str) -> dict[str, Definition]:
    """Return the functions and classes at the top level of a source."""
    return {n.name: n for n in _tree(text).body if isinstance(n, Definition)}


def line_of(text: str, name: str) -> int:
    """Return the line in which a function begins."""
    return _first_line(definitions(text)[name])


def source_of(text: str, name: str) -> str:
    """Return a function's or class's own lines, decorators included."""
    node = definitions(text)[name]
    return "\n".join(text.splitlines()[_first_line(node) - 1 : node.end_lineno]) + "\n"


def _first_line(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _added(text: str, source: str, chapter: str) -> str:
    lines = text.rstrip("\n").splitlines()
    heads = [
        (number, match[1] or "")
        for number, line in enumerate(lines)
        if (match := _SECTION.match(line))
    ]
    # "My own" comes last, and its number is the empty one.
    later = [n for n, other in heads if (other or "99") > (chapter or "99")]
    at = later[0] if later else len(lines)
    new = [] if chapter in [other for _, other in heads] else [_heading(chapter), ""]
    before, after = lines[:at], lines[at:]
    while before and not before[-1]:
        before.pop()
    gap = [""] if before and _SECTION.match(before[-1]) else ["", ""]
    body = [*before, *gap, *new, *source.rstrip().splitlines()]
    return "\n".join([*body, *(["", "", *after] if after else [])]) + "\n"


def _heading(chapter: str) -> str:
    title = f"# ---- {chapter} {TITLES[chapter]} ".replace("  ", " ")
    return title + "-" * (_WIDTH - len(title))


def _with_imports(text: str, wanted: frozenset[tuple[str, str]]) -> str:
    for module, name in sorted(wanted - _imported(text)):
        text = _with_import(text, module, name)
    return text


def _imported(text: str) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for node in _tree(text).body:
        if isinstance(node, ast.Import):
            found |= {(_as(alias), "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.module or "", _as(alias)) for alias in node.names}
    return found


def _as(alias: ast.alias) -> str:
    return alias.name if alias.asname is None else f"{alias.name} as {alias.asname}"


def _with_import(text: str, module: str, name: str) -> str:
    imports = [
        n for n in _tree(text).body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    lines = text.splitlines()
    same = [
        node
        for node in imports
        if isinstance(node, ast.ImportFrom) and node.module == module and name
    ]
    if same:
        names = sorted({_as(alias) for alias in same[0].names} | {name})
        new = _import_line(module, names)
        lines[same[0].lineno - 1 : same[0].end_lineno] = new
    else:
        # Behind the last import at the top; `from __future__` is always there.
        at = imports[-1].end_lineno if imports else 0
        first = imports and getattr(imports[-1], "module", "") == "__future__"
        new = _import_line(module, [name]) if name else [f"import {module}"]
        lines[at or 0 : at or 0] = ["", *new] if first else new
    return "\n".join(lines) + "\n"


def _import_line(module: str, names: list[str]) -> list[str]:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"from {module} import (", *(f"    {name}," for name in names), ")"]


def _with_constants(text: str, wanted: tuple[tuple[str, str], ...]) -> str:
    tree = _tree(text)
    for name, value in wanted:
        old = [n for n in tree.body if isinstance(n, ast.Assign) and _assigns(n, name)]
        lines, new = text.splitlines(), f"{name} = {value}"
        if old:
            lines[old[0].lineno - 1 : old[0].end_lineno] = [new]
        else:
            imports = [
                n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
            ]
            at = (imports[-1].end_lineno or 0) if imports else 0
            lines[at:at] = ["", new]
        text = "\n".join(lines) + "\n"
        tree = _tree(text)
    return text


def _assigns(node: ast.Assign, name: str) -> bool:
    return any(isinstance(to, ast.Name) and to.id == name for to in node.targets)


def _tree(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as mistake:
        raise DocumentError(
            f"{FILE}, line {mistake.lineno}: {mistake.msg}",
            f"mend that line, or rename {FILE} to begin a new one",
            meaning="the file isn't Python at that line, so nothing was changed in it",
        ) from mistake

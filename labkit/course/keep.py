"""keep: a function that works goes from its cell into my_container.py, and stays.

keep(function)       write it there; an earlier version is replaced
my_container()       the file as a module, read afresh
catch_up("05")       take from the solutions what is missing up to there
"""

from __future__ import annotations

import importlib.util
import linecache
import sys
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.course import my_file, tasks, work
from labkit.course.my_file import FILE, Piece
from labkit.course.names import Origins, origins
from labkit.course.solutions import piece_from_solution, without_markers
from labkit.errors import DocumentError, StateError
from labkit.text import Text

_MODULE = "my_container"


def keep(function: Any, chapter: str | None = None) -> Text:
    """Write a function's source into my_container.py, with the imports it needs.

    Functions of the notebook that it calls go with it. The file is replaced as a whole:
    an interrupt leaves the old one or the new one.

    Args: function [a function or class from a cell]; chapter ["02"; by default the
        chapter whose exercise asks for it].
    Returns: where it is: "written to my_container.py, line 31".
    Raises: DocumentError when its source isn't known, when it uses a value that a file
        can't get, or when my_container.py isn't Python; HostError when it can't be
        written.
    """
    text = _with(_read(), function, chapter, seen=set())
    work.write(FILE, text)
    line = my_file.line_of(text, function.__name__)
    return Text(f"written to {FILE}, line {line}")


def my_container() -> ModuleType:
    """Return my_container.py as a module, as it is on the disk now.

    Raises: StateError when there is none; DocumentError when it isn't Python.
    """
    path = work.folder() / FILE
    text = _read()
    if not text:
        raise StateError(
            f"{FILE}: there is none yet",
            'keep a function: lab.keep(start_program), or lab.catch_up("02")',
        )
    my_file.definitions(text)  # a mistake in it gets the lab's message
    linecache.checkcache(str(path))
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module  # a dataclass looks its module up there
    # Not by the loader: its cache can't tell two versions of the same second apart.
    exec(compile(text, str(path), "exec"), module.__dict__)
    return module


def catch_up(chapter: str) -> Text:
    """Take from the solutions what my_container.py lacks for a chapter.

    What the learner has stays.

    Args: chapter ["05": everything that the exercises before it ask for].
    Returns: which functions were taken, and which are the learner's own.
    Raises: StateError when there are no solutions here; DocumentError as `keep`.
    """
    text = _read()
    own = set(my_file.definitions(text))
    taken, kept = [], []
    before = takewhile(lambda one: one.chapter < chapter, tasks.exercises())
    for task in (task for one in before for task in one.tasks if task.kept):
        for name in task.functions:
            if name in own:
                kept.append(f"{name} ({task.chapter})")
                continue
            piece = piece_from_solution(task, name)
            text = my_file.put(text, piece, task.chapter)
            taken.append(f"{name} ({task.chapter})")
    if taken:
        work.write(FILE, text)
    said = [
        f"from the solutions: {', '.join(taken) or 'nothing'}",
        f"your own: {', '.join(kept) or 'nothing'}",
    ]
    return Text("\n".join(said))


def _with(text: str, function: Any, chapter: str | None, seen: set[str]) -> str:
    name = getattr(function, "__name__", repr(function))
    seen.add(name)
    source, namespace = _source_of(function, name)
    used = origins(source, namespace)
    chapter = _chapter_of(name) if chapter is None else chapter
    for other, value in used.others.items():
        if other not in seen:
            text = _with(text, value, chapter, seen)
    return my_file.put(text, _piece(name, source, used), chapter)


def _piece(name: str, source: str, used: Origins) -> Piece:
    constants = tuple(used.constants.items())
    return Piece(name, source, frozenset(used.imports), constants)


def _source_of(thing: Any, name: str) -> tuple[str, dict[str, Any]]:
    # A cell's text is in linecache, under the file name that its code carries. A class
    # has none, but its methods have.
    members = vars(thing).values() if isinstance(thing, type) else [thing]
    for function in members:
        code = getattr(function, "__code__", None)
        if code is None:
            continue
        linecache.checkcache(code.co_filename)
        namespace = function.__globals__
        text = "".join(linecache.getlines(code.co_filename, namespace))
        if text and name in my_file.definitions(text):
            # An author's cell may have the marks of a solution in it.
            return without_markers(my_file.source_of(text, name)), namespace
    raise DocumentError(
        f"keep({name}): its source isn't known",
        "define it with def or class at the left edge of a cell, and run the cell",
        meaning="only what was typed as a definition in a cell or a file has a source",
    )


def _chapter_of(name: str) -> str:
    asked = (task for one in tasks.exercises() for task in one.tasks)
    return next((task.chapter for task in asked if name in task.functions), "")


def _read() -> str:
    path = Path(work.folder(), FILE)
    return path.read_text() if path.exists() else ""

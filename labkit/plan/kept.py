"""A function by its place: the file that it stands in, and its name.

So a plan with a learner's function can be applied by a process that never saw her
notebook: it reads the file. A cell's own function has no such place until it is kept.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from labkit.errors import DocumentError


def place_of(function: Callable[..., Any]) -> dict[str, str]:
    """Return the file and the name of a function.

    Raises: DocumentError when it isn't a file's own function: a cell's, a lambda, one
        that was made inside another.
    """
    code = getattr(function, "__code__", None)
    file, name = getattr(code, "co_filename", ""), getattr(function, "__qualname__", "")
    if code is None or not name.isidentifier() or not os.path.isfile(file):
        raise DocumentError(
            f"{name or function!r}: stands in no file",
            f"keep it first: lab.keep({name or 'function'})",
            meaning="another process can find a function only by file and name",
        )
    return {"file": os.path.abspath(file), "name": name}


def from_place(place: Any) -> Callable[..., Any]:
    """Return the function that a place tells of, read afresh from its file.

    Raises: DocumentError when there is no such file or function, or it is no Python.
    """
    file, name = str(place.get("file")), str(place.get("name"))
    found = getattr(_module(file), name, None)
    if not callable(found):
        raise DocumentError(
            f"{file}: has no function {name}", f"keep it again: lab.keep({name})"
        )
    return found  # type: ignore[no-any-return]


def _module(file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("_kept", file)
    if "site" not in sys.modules:  # a fork server: now somebody may want packages
        import site

        site.main()
    try:
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with open(file, "rb") as source:
            # Not by the loader: its cache can't tell two versions of a second apart.
            exec(compile(source.read(), file, "exec"), module.__dict__)
    except Exception as raised:
        raise DocumentError(
            f"{file}: {type(raised).__name__}: {raised}",
            "look at the file, or keep its functions again",
            meaning="the file of a kept function couldn't be read as Python",
        ) from raised
    return module

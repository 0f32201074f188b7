"""What programs open before their first own instruction: links, loaders, libraries.

    closure(root, ["usr/sbin/nginx"])
        usr/sbin/nginx                                  DT_NEEDED libz.so.1, ...
        lib/x86_64-linux-gnu/libz.so.1 -> libz.so.1.2.13
        lib/x86_64-linux-gnu/libz.so.1.2.13
        lib64/ld-linux-x86-64.so.2 -> ...               PT_INTERP, and where it leads
    aliases(root, ...)      links in the place of those that another package has

Nothing of it is looked up on this machine: a library that no package holds is an error.

Kernel: elf(5), ld.so(8). Left out: what a program opens by itself while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from labkit.errors import HostError
from labkit.host.elf import is_elf, loader, needed
from labkit.linux.views import HostPath

_LIBRARY = ".so"


def closure(root: HostPath, paths: Iterable[str]) -> list[str]:
    """Return some paths of a tree and all that their programs need, sorted.

    Args: root [host path of unpacked packages]; paths [relative to it].
    Returns: paths relative to root, of files and symbolic links.
    Raises: HostError when a loader, a library or a link's target isn't in the tree.
    """
    libraries = _libraries(root)
    found: set[str] = set()
    todo = list(paths)
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += _next(root, path, libraries)
    return sorted(found)


def aliases(root: HostPath, paths: Iterable[str]) -> dict[str, str]:
    """Return the links that a tree needs besides: from a loader's name to the loader.

    A distribution may keep in usr/lib64 what programs know as lib64, and have a link
    from one directory to the other in another package.

    Args: root [host path of unpacked packages]; paths [what `closure` returned].
    Returns: path -> the link's target.
    """
    places = (HostPath(os.path.join(root, path)) for path in paths)
    files = (one for one in places if not os.path.islink(one) and is_elf(one))
    names = {(loader(file) or "").lstrip("/") for file in files} - {""}
    absent = (one for one in names if not os.path.lexists(os.path.join(root, one)))
    return {
        name: os.path.relpath(os.path.join("usr", name), os.path.dirname(name))
        for name in sorted(absent)
    }


def _next(root: HostPath, path: str, libraries: dict[str, str]) -> Iterator[str]:
    place = HostPath(os.path.join(root, path))
    if os.path.islink(place):
        yield _target(root, path, os.readlink(place))
    elif is_elf(place):
        if interpreter := loader(place):
            yield _existing(root, interpreter.lstrip("/"), path)
        for name in needed(place):
            if name not in libraries:
                raise _missing(name, path)
            yield libraries[name]


def _libraries(root: HostPath) -> dict[str, str]:
    # name -> path. Those in a plugin's own folder come first and lose.
    return {
        name: os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in sorted(os.walk(root), key=_depth, reverse=True)
        for name in names
        if _LIBRARY in name
    }


def _depth(row: tuple[str, list[str], list[str]]) -> int:
    return row[0].count("/")


def _target(root: HostPath, path: str, target: str) -> str:
    start = "" if target.startswith("/") else os.path.dirname(path)
    plain = os.path.normpath(os.path.join(start, target.lstrip("/")))
    return _existing(root, plain, path)


def _existing(root: HostPath, path: str, wanted_by: str) -> str:
    # A package may have a file in usr/lib that is known as lib: there, one is a link
    # to the other.
    for candidate in (path, os.path.join("usr", path)):
        if os.path.lexists(os.path.join(root, candidate)):
            return candidate
    raise _missing(f"/{path}", wanted_by)


def _missing(name: str, wanted_by: str) -> HostError:
    return HostError(
        f"/{wanted_by}: needs {name}",
        "name the package that has it: apt-file search, or packages.debian.org",
        "ld.so(8)",
        meaning="none of the unpacked packages has such a file",
    )

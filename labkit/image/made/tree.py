"""A recipe's layer as entries: what its archive will hold."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from labkit.image.made.recipe import Files, Layer, Programs
from labkit.linux.views import HostPath
from labkit.packages import Packages, aliases, closure, compile_python
from labkit.packages.apt import Say
from labkit.rootfs.alpine import alpine
from labkit.rootfs.busybox import busybox
from labkit.rootfs.entries import Entry, directory, file, link


@dataclass(frozen=True, slots=True)
class Tree:
    """Entries, parents before children, and what they were made from."""

    entries: tuple[Entry, ...]
    versions: Mapping[str, str] = field(default_factory=dict)  # package -> version


class Kitchen:
    """Where layers are prepared: a workspace with the packages of one run.

    Args: workspace [an empty directory; the caller removes it]; say [called with one
        line for each thing that takes time].
    """

    def __init__(self, workspace: Path, say: Say) -> None:
        self._workspace, self._say = workspace, say
        self._packages: Packages | None = None
        self._unpacked = 0

    def tree(self, layer: Layer) -> Tree:
        """Return what a layer holds.

        Raises: HostError when a package can't be had.
        """
        if isinstance(layer, Files):
            return Tree(_with_parents(_written(layer)))
        if isinstance(layer, Programs):
            return self._programs(layer)
        program = busybox(HostPath(str(self._folder("busybox"))), self._say)
        root = (entry for entry in alpine(program) if entry.path)
        return Tree(_with_parents(root), {"busybox": program.version})

    def _programs(self, layer: Programs) -> Tree:
        if self._packages is None:
            self._packages = Packages(self._folder("packages"), self._say)
        self._unpacked += 1
        unpacked = self._packages.unpack(layer.packages, f"unpacked-{self._unpacked}")
        paths = closure(unpacked.root, _chosen(unpacked.root, layer))
        if layer.python:
            self._say("byte code: compiling Python's library")
            paths += compile_python(unpacked.root, layer.python, paths)
        found = [_read(unpacked.root, path) for path in paths]
        found += [link(*row) for row in aliases(unpacked.root, paths).items()]
        return Tree(_with_parents(found), unpacked.versions)

    def _folder(self, name: str) -> Path:
        made = self._workspace / name
        made.mkdir()
        return made


def _written(layer: Files) -> Iterator[Entry]:
    yield from (directory(*row) for row in layer.directories)
    yield from (file(path, text.encode()) for path, text in layer.files)
    yield from (link(*row) for row in layer.links)


def _chosen(root: HostPath, layer: Programs) -> list[str]:
    return [
        path
        for path in _names(root)
        if any(fnmatchcase(path, pattern) for pattern in layer.keep)
        and not any(fnmatchcase(path, pattern) for pattern in layer.leave_out)
    ]


def _names(root: HostPath) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        links = [one for one in folders if os.path.islink(os.path.join(folder, one))]
        yield from (
            os.path.relpath(os.path.join(folder, n), root) for n in files + links
        )


def _read(root: HostPath, path: str) -> Entry:
    place = os.path.join(root, path)
    if os.path.islink(place):
        return link(path, os.readlink(place))
    mode = stat.S_IMODE(os.stat(place).st_mode)
    return file(path, Path(place).read_bytes(), mode)


def _with_parents(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    # Sorted by the parts of the path, because "a-b" would come between "a" and "a/b".
    named = {str(entry.path): entry for entry in entries}
    for path in list(named):
        while path := os.path.dirname(path):
            named.setdefault(path, directory(path))
    return tuple(named[path] for path in sorted(named, key=lambda one: one.split("/")))

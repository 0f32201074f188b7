"""Packages as a tree of files: what a program needs to run, unpacked in one place.

The machine's own package index is tried first, since it costs nothing. Where there is
none, or it is too old for the mirror, one is fetched: some ten megabytes, once for all
that is unpacked after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from labkit.errors import HostError
from labkit.linux.views import HostPath
from labkit.packages.apt import Apt
from labkit.packages.selection import read_depends, read_sections, select

Say = Callable[[str], None]
_NAME = re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)_[^_]+\.deb")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Some packages' files below one directory."""

    root: HostPath
    versions: Mapping[str, str]  # package -> version


class Packages:
    """Downloads, kept in a workspace as long as that lives.

    Args: workspace [an empty directory; the caller removes it]; say [called with one
        line for each thing that takes time].
    """

    def __init__(self, workspace: Path, say: Say) -> None:
        self._workspace, self._say = workspace, say
        self._apt = Apt.of_this_machine(_made(workspace / "machine"))
        self._own_index = False

    def unpack(self, wanted: Iterable[str], name: str) -> Unpacked:
        """Unpack packages, and those that they need to run, below a directory.

        Args: wanted [package names]; name [of the directory, new in the workspace].
        Raises: HostError when a package can't be had: no mirror, no such name.
        """
        names = list(wanted)
        files = self._download(names)
        root = _made(self._workspace / name)
        for file in files:
            self._apt.unpack(file, root)
        return Unpacked(HostPath(str(root)), dict(map(_version, files)))

    def _download(self, wanted: list[str]) -> list[Path]:
        if self._own_index:
            return self._try(wanted)
        try:
            return self._try(wanted)
        except HostError:
            self._say("packages: this machine's index doesn't serve; fetching one")
        self._apt = Apt(_made(self._workspace / "own"))
        self._apt.update()
        self._own_index = True
        return self._try(wanted)

    def _try(self, wanted: list[str]) -> list[Path]:
        depends = read_depends(self._apt.all_depends(wanted))
        sections = read_sections(self._apt.show(depends))
        names = select(wanted, depends, sections)
        missing = [name for name in names if self._file(name) is None]
        if missing:
            self._say(f"packages: downloading {', '.join(missing)}")
            self._apt.download_all(missing)
        return [file for name in names if (file := self._file(name)) is not None]

    def _file(self, name: str) -> Path | None:
        return next(self._apt.workspace.glob(f"{name}_*.deb"), None)


def _version(file: Path) -> tuple[str, str]:
    # In a file's name the colon of an epoch is written %3a.
    parts = _NAME.fullmatch(file.name)
    if parts is None:
        raise ValueError(f"{file.name} is no name of a package's file")
    return parts["name"], unquote(parts["version"])


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory

"""The layers of an overlay, read from their directories. Chapter 06.

    upper      /etc/hosts   changed     /root/notes   new      /bin/ls   whiteout
    alpine     /etc/hosts   /etc/motd                          /bin/ls   /bin/cat
    ----------------------------------------------------------------------------
    merged     /etc/hosts   /etc/motd   /root/notes                      /bin/cat
               from upper   alpine      upper                            alpine

The mount is in a child's mount namespace, where the notebook can't see it. But a layer
is an ordinary directory: who lays them over one another by the overlay's own rules
knows what the mount shows, and which layer each path comes from.

Reading order: EntryKind, Entry, Layer, Source, Tree, lay, read_layer.
Left out: renamed directories (redirect_dir; MountOverlay switches it off) and lower
layers that hold data only.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from enum import StrEnum

from labkit.linux.views import ContainerPath, HostPath
from labkit.values import dataclass, field


class EntryKind(StrEnum):
    """How a path came to be where it is."""

    LOWER = "lower"  # as a lower layer has it
    NEW = "new"  # made in the upper layer
    COPIED_UP = "copied-up"  # a lower layer's, changed: the copy is in the upper one
    WHITEOUT = "whiteout"  # removed: a mark in this layer hides it
    OPAQUE = "opaque"  # a directory that hides the one below, with all that is in it


@dataclass(frozen=True, slots=True)
class Entry:
    """A path as the container sees it, and the layer that it comes from."""

    path: ContainerPath
    layer: str
    kind: EntryKind
    hides: tuple[str, ...] = ()  # the layers below that have it, top first
    directory: bool = False

    @property
    def visible(self) -> bool:
        """Whether the container sees the path."""
        return self.kind is not EntryKind.WHITEOUT

    def __str__(self) -> str:
        hidden = f", hides {', '.join(self.hides)}" if self.hides else ""
        return f"{self.path}: {self.kind}, in {self.layer}{hidden}"

    def __repr__(self) -> str:
        return f"<{self}>"


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: how many names it holds, and how many bytes its files have."""

    name: str
    path: HostPath
    entries: int
    bytes: int
    writable: bool = False

    def __repr__(self) -> str:
        return f"<Layer {self.name}: {self.entries} names>"


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read a layer, and how the marks in it begin.

    Args: marks ["trusted.overlay." or, in a user namespace, "user.overlay."].
    """

    name: str
    path: HostPath
    marks: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Tree:
    """A path of the merged view, with everything below it.

    `holders` are all layers that have the path, hidden ones too; `entries` are the
    path's own and those below it, in the order of a listing.
    """

    entry: Entry
    place: str  # [host path]
    holders: tuple[str, ...]
    entries: tuple[Entry, ...]
    children: Mapping[str, Tree] = field(default_factory=dict, repr=False)


def lay(source: Source, below: Tree | None) -> Tree:
    """Lay one layer over the view that the layers below it make.

    Args: source [the layer]; below [what the others make; None for the lowest one].
    Returns: the view of all. What the layer doesn't touch is shared with `below`, so a
        small upper layer is laid over a large tree quickly.
    Raises: PermissionError for a directory that this user can't read.
    Needs: read permission; CAP_SYS_ADMIN for marks that begin with "trusted.".
    Kernel: Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
    """
    return _directory(source, source.path, ContainerPath("/"), below)


def read_layer(source: Source) -> Layer:
    """Count what a layer holds: its names, and the bytes of its files.

    A file with two names counts once. The layer's own directory isn't counted.

    Args: source [the layer].
    Raises: nothing; a directory that this user can't read counts as empty.
    Needs: read permission.
    """
    names, sizes = 0, {}
    for folder, directories, files in os.walk(source.path):
        names += len(directories) + len(files)
        for name in files:
            found = _lstat(os.path.join(folder, name))
            if found is not None and stat.S_ISREG(found.st_mode):
                sizes[found.st_dev, found.st_ino] = found.st_size
    total = sum(sizes.values())
    return Layer(source.name, source.path, names, total, source.writable)


def _directory(
    source: Source, place: str, path: ContainerPath, below: Tree | None
) -> Tree:
    opaque = _mark(source, place, "opaque")
    merged = below is not None and below.entry.directory and opaque != b"y"
    children = dict(below.children) if below is not None and merged else {}
    for name in _scan(place):
        inner = ContainerPath(f"{path.rstrip('/')}/{name.name}")
        children[name.name] = _one(source, name, inner, children.get(name.name), opaque)
    hides = () if below is None else below.entry.hides if merged else below.holders
    kind = _kind_of_directory(source, hides, merged, opaque == b"y")
    entry = Entry(path, source.name, kind, hides, directory=True)
    entries = [entry]
    for inner_name in sorted(children):
        entries.extend(children[inner_name].entries)
    return Tree(entry, place, _holders(source, below), tuple(entries), children)


def _one(
    source: Source,
    name: os.DirEntry[str],
    path: ContainerPath,
    below: Tree | None,
    parent_mark: bytes | None,
) -> Tree:
    if name.is_dir(follow_symlinks=False):
        return _directory(source, name.path, path, below)
    hides = below.holders if below is not None else ()
    if _is_whiteout(source, name, parent_mark):
        entry = Entry(path, source.name, EntryKind.WHITEOUT, hides)
        return Tree(entry, name.path, hides, (entry,))
    kind = _kind_of_file(source, name.path, below)
    entry = Entry(path, source.name, kind, hides)
    return Tree(entry, name.path, _holders(source, below), (entry,))


def _holders(source: Source, below: Tree | None) -> tuple[str, ...]:
    return (source.name, *(below.holders if below is not None else ()))


def _kind_of_directory(
    source: Source, hides: tuple[str, ...], merged: bool, opaque: bool
) -> EntryKind:
    # Linux marks every new directory as opaque, to save itself a look below: the mark
    # means something to us only where it hides something.
    if opaque and hides:
        return EntryKind.OPAQUE
    if not source.writable:
        return EntryKind.LOWER
    return EntryKind.COPIED_UP if merged else EntryKind.NEW


def _kind_of_file(source: Source, place: str, below: Tree | None) -> EntryKind:
    if not source.writable:
        return EntryKind.LOWER
    if below is None or not below.entry.visible or not _copied(source, place, below):
        return EntryKind.NEW
    return EntryKind.COPIED_UP


def _copied(source: Source, place: str, below: Tree) -> bool:
    # A program that writes a new file and renames it over the old one has replaced it;
    # a copy-up leaves a mark of its origin. Not on links and devices, which can't have
    # user.* marks, and not for a lower file of several names: there the type decides.
    upper, lower = _lstat(place), _lstat(below.place)
    if upper is None or lower is None:
        return False
    if stat.S_IFMT(upper.st_mode) != stat.S_IFMT(lower.st_mode):
        return False
    if not stat.S_ISREG(upper.st_mode) or lower.st_nlink > 1:
        return True
    return _mark(source, place, "origin") is not None


def _is_whiteout(
    source: Source, name: os.DirEntry[str], parent_mark: bytes | None
) -> bool:
    if name.is_symlink():
        return False
    if name.is_file(follow_symlinks=False):
        # Since Linux 6.7 (nested overlays) a whiteout may be an empty file with a mark,
        # in a directory whose opaque mark says "x".
        return parent_mark == b"x" and _mark(source, name.path, "whiteout") is not None
    found = _lstat(name.path)
    # overlayfs.rst: a character device with the number 0:0.
    return found is not None and stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _scan(place: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(place) as listing:
            yield from listing
    except (FileNotFoundError, NotADirectoryError):
        return  # the container has removed it between two looks


def _lstat(place: str) -> os.stat_result | None:
    try:
        return os.lstat(place)
    except FileNotFoundError:
        return None  # the container has removed it between two looks


def _mark(source: Source, place: str, name: str) -> bytes | None:
    try:
        return os.getxattr(place, f"{source.marks}{name}", follow_symlinks=False)
    except OSError as refused:
        # ENODATA: no such mark. EOPNOTSUPP: the file system has none at all.
        if refused.errno in (errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT):
            return None
        raise

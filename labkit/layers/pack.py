"""Files become a layer: what a container, or a build, has changed. Chapter 11.

    upper directory                           archive
    etc/hosts                                 etc/hosts
    etc/motd, a character device 0:0          etc/.wh.motd
    var, marked opaque=y                      var, var/.wh..wh..opq

Names come in order, so the same files make the same layer, byte for byte.

Reading order: write, changed_in_upper, changed_between, whole.
Left out: sockets, which nothing can be packed of; sparse files are written in full, as
the image specification recommends.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import BinaryIO

from labkit.layers.below import Below, is_whiteout
from labkit.layers.tar_member import Kind, Member
from labkit.layers.tar_writer import TarWriter
from labkit.layers.whiteouts import OPAQUE, PREFIX
from labkit.linux.views import HostPath
from labkit.primitives.layers import Tree

Item = tuple[str, str | None]
"""A path in the layer, and where its file is [host path]; None for a whiteout."""

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFIFO: Kind.FIFO,
}


def write(items: Iterable[Item], to: Callable[[bytes], object]) -> None:
    """Write the archive of a layer, not compressed.

    Args: items [parents before what is in them]; to [takes the bytes].
    Raises: OSError when a file can't be read.
    Spec: image-spec, layer.md.
    """
    archive = TarWriter(to)
    names: dict[tuple[int, int], str] = {}  # (device, inode) -> first name
    for path, place in items:
        if place is None:
            archive.add(Member(path, Kind.FILE, mode=0))
            continue
        member = _member(path, place)
        if member is not None:
            has_bytes = _use_first_name(member, place, names)
            with _open(place) if has_bytes else nullcontext() as content:
                archive.add(member, content)
    archive.end()


def changed_in_upper(upper: HostPath, below: Below) -> Iterator[Item]:
    """Yield what an overlay's upper directory changes.

    Args: upper [host path]; below [the layers under it: where they have nothing, the
        mark that Linux puts on every new directory hides nothing].
    """
    yield from _below_root(upper, "", below)


def changed_between(old: HostPath, new: HostPath) -> Iterator[Item]:
    """Yield what makes one tree into another: for who has no overlay.

    Args: old, new [host paths of complete trees].
    """
    yield from _compared(old, new, "")


def whole(tree: Tree) -> Iterator[Item]:
    """Yield every visible path of layers that lie over one another."""
    for _, child in sorted(tree.children.items()):
        if child.entry.visible:
            yield str(child.entry.path).lstrip("/"), child.place
            if child.entry.directory:
                yield from whole(child)


def _below_root(place: str, path: str, below: Below) -> Iterator[Item]:
    for name in sorted(os.listdir(place)):
        inner, here = f"{path}/{name}".lstrip("/"), os.path.join(place, name)
        found = os.lstat(here)
        if is_whiteout(found):
            yield f"{path}/{PREFIX}{name}".lstrip("/"), None
            continue
        yield inner, here
        if stat.S_ISDIR(found.st_mode):
            if below.is_opaque(here) and below.find(inner) is not None:
                yield f"{inner}/{OPAQUE}", None
            yield from _below_root(here, inner, below)


def _compared(old: str, new: str, path: str) -> Iterator[Item]:
    before, after = set(os.listdir(old)), set(os.listdir(new))
    for name in sorted(before | after):
        inner = f"{path}/{name}".lstrip("/")
        was, now = os.path.join(old, name), os.path.join(new, name)
        if name not in after:
            yield f"{path}/{PREFIX}{name}".lstrip("/"), None
        elif name not in before or not _both_directories(was, now):
            if name not in before or _state(was) != _state(now):
                yield inner, now
                yield from _everything(now, inner)
        else:
            if _state(was) != _state(now):
                yield inner, now
            yield from _compared(was, now, inner)


def _everything(place: str, path: str) -> Iterator[Item]:
    if os.path.isdir(place) and not os.path.islink(place):
        for name in sorted(os.listdir(place)):
            here, inner = os.path.join(place, name), f"{path}/{name}"
            yield inner, here
            yield from _everything(here, inner)


def _both_directories(was: str, now: str) -> bool:
    return all(stat.S_ISDIR(os.lstat(path).st_mode) for path in (was, now))


def _state(place: str) -> tuple[object, ...]:
    # What a change of a file changes; the content only by its length and its time.
    found = os.lstat(place)
    is_directory = stat.S_ISDIR(found.st_mode)
    link = os.readlink(place) if stat.S_ISLNK(found.st_mode) else ""
    return (
        (found.st_mode, found.st_uid, found.st_gid, found.st_rdev, link),
        (found.st_mtime_ns, None if is_directory else (found.st_size, found.st_nlink)),
        _xattrs(place),
    )


def _member(path: str, place: str) -> Member | None:
    found = os.lstat(place)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None  # a socket
    device = kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
    return Member(
        f"{path}/" if kind is Kind.DIRECTORY else path,
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_size if kind is Kind.FILE else 0,
        found.st_mtime_ns,
        os.readlink(place) if kind is Kind.SYMLINK else "",
        found.st_rdev if device else 0,
        _xattrs(place),
    )


def _use_first_name(
    member: Member, place: str, names: dict[tuple[int, int], str]
) -> bool:
    # Says whether the member has bytes: only the first name of a file has.
    found = os.lstat(place)
    if member.kind is not Kind.DIRECTORY and found.st_nlink > 1:
        first = names.setdefault((found.st_dev, found.st_ino), member.name)
        if first != member.name:
            member.kind, member.size, member.link = Kind.HARD_LINK, 0, first
            member.xattrs = {}
    return member.kind is Kind.FILE


def _open(place: str) -> BinaryIO:
    # Not through a link: a container that runs may have put one there just now.
    return os.fdopen(os.open(place, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0)


def _xattrs(place: str) -> dict[str, bytes]:
    # The overlay's own marks say how files lie here, not what they are.
    return {
        name: os.getxattr(place, name, follow_symlinks=False)
        for name in os.listxattr(place, follow_symlinks=False)
        if ".overlay." not in name
    }

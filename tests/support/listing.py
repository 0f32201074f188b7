"""A file tree as a value: everything about every name, so that two can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

Listing = dict[str, tuple[object, ...]]


def listing(root: Path | str) -> Listing:
    """Return everything about every name: what it is, whose, when, what is in it."""
    top = os.fspath(root)
    found = {".": _about(top)}
    for folder, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = _about(path)
    return found


def differences(ours: Listing, theirs: Listing) -> dict[str, tuple[object, object]]:
    """Return what differs: path -> (ours, theirs)."""
    paths = sorted(ours.keys() | theirs.keys())
    pairs = {path: (ours.get(path), theirs.get(path)) for path in paths}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def _about(path: str) -> tuple[object, ...]:
    found = os.lstat(path)
    names = os.listxattr(path, follow_symlinks=False)
    marks = {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if "overlay." not in name
    }
    return (
        stat.filemode(found.st_mode),
        (found.st_uid, found.st_gid),
        found.st_mtime_ns,
        None if stat.S_ISDIR(found.st_mode) else found.st_nlink,
        found.st_rdev,
        _content(path, found),
        tuple(sorted(marks.items())),
    )


def _content(path: str, found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return os.readlink(path)
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    return ""

"""A file tree as a value: entries that can be written, compared with a disk, repaired.

    Entry     one directory, file or symbolic link: path, mode, content
    write     put entries on the disk, with fixed modes and times
    differences   what on the disk isn't as the entries say, in words
    repair    put back what differs, and touch nothing else

Left out: devices, sockets, hard links, other owners; the lab's roots have none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from labkit.errors import HostError
from labkit.linux.proc import mounts
from labkit.linux.views import ContainerPath, HostPath

# Every file's time: 2013-03-15 UTC. Fixed, so that two builds are equal; not 0, because
# some programs take the year 1970 for a clock that isn't set.
MTIME_S = 1_363_305_600
MISSING, CHANGED, EXTRA = "is missing", "was changed", "doesn't belong to it"


class Kind(StrEnum):
    """What an entry is."""

    DIRECTORY = "directory"
    FILE = "file"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a tree. A link's content is its target."""

    path: ContainerPath  # relative to the root of the tree; "" is that root
    kind: Kind
    mode: int
    digest: str = ""  # sha256 of the content
    content: bytes | None = None  # None when only the digest is known

    def to_json(self) -> dict[str, str]:
        """Return the entry without its content, as a row of a manifest."""
        return {
            "path": self.path,
            "kind": self.kind,
            "mode": f"{self.mode:04o}",
            "sha256": self.digest,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, str]) -> Entry:
        """Read a row of a manifest."""
        mode = int(row["mode"], 8)
        return cls(ContainerPath(row["path"]), Kind(row["kind"]), mode, row["sha256"])


def directory(path: str, mode: int = 0o755) -> Entry:
    """Return the entry of a directory."""
    return Entry(ContainerPath(path), Kind.DIRECTORY, mode)


def file(path: str, content: bytes, mode: int = 0o644) -> Entry:
    """Return the entry of a file."""
    return Entry(ContainerPath(path), Kind.FILE, mode, _sha256(content), content)


def link(path: str, target: str) -> Entry:
    """Return the entry of a symbolic link."""
    content = os.fsencode(target)
    return Entry(ContainerPath(path), Kind.LINK, 0o777, _sha256(content), content)


def write(entries: Sequence[Entry], root: HostPath) -> None:
    """Write entries below a directory that doesn't exist yet.

    Args: entries [the root, with path "", first; parents before children];
        root [host path].
    Raises: OSError with the path: ENOSPC, EACCES.
    Needs: write permission in the parent directory.
    Kernel: mkdir(2), symlink(2), utimensat(2).
    """
    for entry in entries:
        _put(entry, root)
    # Directories last and from below, because a new name changes the directory's time.
    for entry in reversed(entries):
        _set_time(_place(entry, root))


def differences(entries: Sequence[Entry], root: HostPath) -> dict[str, str]:
    """Compare a tree on the disk with its entries; return what differs, by path.

    Args: entries [with content or with digest only]; root [host path].
    Returns: path -> MISSING, CHANGED or EXTRA.
    Raises: HostError when something is mounted inside: that isn't the tree's.
    Needs: read permission.
    """
    refuse_if_mounted(root)
    expected = {str(entry.path): entry for entry in entries}
    found = dict(_scan(root))
    missing = {path: MISSING for path in expected.keys() - found.keys()}
    extra = {path: EXTRA for path in found.keys() - expected.keys()}
    changed = {
        path: CHANGED
        for path in expected.keys() & found.keys()
        if not _same(expected[path], os.path.join(root, path), found[path])
    }
    return dict(sorted({**missing, **extra, **changed}.items()))


def repair(entries: Sequence[Entry], root: HostPath, wrong: Mapping[str, str]) -> None:
    """Put back what differs; programs that use the rest of the tree aren't disturbed.

    Args: entries [with content]; root [host path]; wrong [what `differences` found].
    Raises: OSError with the path.
    Needs: write permission in the tree.
    """
    directories = {e.path for e in entries if e.kind is Kind.DIRECTORY}
    # From below. Never what is missing: if its directory has become a link, the path
    # leads out of the tree, and what it names is the host's.
    for path in sorted((p for p in wrong if wrong[p] != MISSING), reverse=True):
        _remove(os.path.join(root, path), keep=path in directories)
    for entry in entries:
        if entry.path in wrong:
            _put(entry, root)


def refuse_if_mounted(root: HostPath) -> None:
    """Raise unless nothing is mounted on or below a directory.

    Raises: HostError naming the mount point. Removing through a bind mount would
        remove the host's own files.
    Needs: nothing.
    Kernel: proc_pid_mountinfo(5).
    """
    real = os.path.realpath(root)
    below = [one.target for one in mounts() if f"{one.target}/".startswith(f"{real}/")]
    if below:
        raise HostError(
            f"{root}: {below[-1]} is a mount point",
            f"labkit sweep, or: umount {below[-1]}",
            "mount(8)",
            meaning="what is mounted there isn't part of the root filesystem",
        )


def _put(entry: Entry, root: HostPath) -> None:
    path = _place(entry, root)
    if entry.kind is Kind.DIRECTORY:
        os.makedirs(path, exist_ok=True)
        os.chmod(path, entry.mode)
        return
    # Beside its place and renamed, so that nobody sees half a file.
    fresh = f"{path}.labkit"
    _remove(fresh, keep=False)
    if entry.kind is Kind.LINK:
        os.symlink(entry.content or b"", os.fsencode(fresh))
    else:
        with open(fresh, "xb") as target:
            target.write(entry.content or b"")
        os.chmod(fresh, entry.mode)
    _set_time(fresh)
    os.rename(fresh, path)


def _place(entry: Entry, root: HostPath) -> str:
    return os.path.join(root, entry.path) if entry.path else root


def _set_time(path: str) -> None:
    os.utime(path, (MTIME_S, MTIME_S), follow_symlinks=False)


def _scan(root: HostPath, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
    # Every name with what it is; links aren't followed, they may lead out of the tree.
    here = os.path.join(root, folder) if folder else root
    yield folder, os.lstat(here)
    for name in sorted(os.listdir(here)):
        path = os.path.join(folder, name)
        found = os.lstat(os.path.join(root, path))
        if stat.S_ISDIR(found.st_mode):
            yield from _scan(root, path)
        else:
            yield path, found


def _same(entry: Entry, path: str, found: os.stat_result) -> bool:
    is_kind = {
        Kind.DIRECTORY: stat.S_ISDIR,
        Kind.FILE: stat.S_ISREG,
        Kind.LINK: stat.S_ISLNK,
    }[entry.kind]
    if not is_kind(found.st_mode) or stat.S_IMODE(found.st_mode) != entry.mode:
        return False
    if entry.kind is Kind.LINK:
        return _sha256(os.fsencode(os.readlink(path))) == entry.digest
    if entry.kind is Kind.FILE:
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == entry.digest
    return True


def _remove(path: str, *, keep: bool) -> None:
    # A directory that belongs there stays with what is in it; `_put` corrects its mode.
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
    elif not keep:
        shutil.rmtree(path)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

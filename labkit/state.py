"""Where the lab keeps its files, and how it writes them. Layer 2.

A file is written beside its place, flushed to the disk and renamed into it, so a crash
leaves the old file or the new one. Who changes what others may change, too, holds a
lock meanwhile.

Reading order: location, directory, layers_directory, write, lock, unfinished.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from _thread import get_native_id  # threading takes every start 200 KiB
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.errors import HostError
from labkit.host.places import VARIABLE, filesystem_type, state_location
from labkit.host.probing import is_root
from labkit.linux.views import HostPath

_UNFINISHED = ".new"
_MARK = "user.labkit"
_POLL_S = 0.02
# Others may pass, because a container's ids are others; only the owner may list.
_MODE = 0o711


def location() -> HostPath:
    """Return where the state is or would be; make nothing."""
    return state_location(os.environ, root_user=is_root())


def directory(name: str = "") -> HostPath:
    """Make the state directory, or one below it, if need be, and return it.

    Args: name [relative path below the state directory; "" for itself].
    Returns: host path of a directory that this user can write.
    Raises: HostError when it can't be made or written: another user's, a read-only
        filesystem, a file in its place.
    Needs: write permission there.
    Spec: XDG Base Directory Specification, XDG_STATE_HOME.
    """
    path = HostPath(os.path.join(location(), name) if name else location())
    for place in (location(), path):  # makedirs gives its mode to the last only
        try:
            os.makedirs(place, _MODE, exist_ok=True)
        except OSError as refused:
            raise unusable(place, refused) from refused
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise unusable(path, OSError(errno.EACCES, os.strerror(errno.EACCES)))
    return path


def layers_directory(name: str, *, user_marks: bool = False) -> HostPath:
    """Like `directory`, for upper directories of an overlay.

    Args: name [relative path below the state directory]; user_marks [for an overlay
        that is mounted with userxattr: it keeps its marks in attributes user.*].
    Raises: HostError as `directory` does; also when the state itself lies on an
        overlay, as in a container's own file tree: mount(2) would answer EINVAL; or
        when user_marks can't be kept: mount(2) would say nothing, and a later rm EIO.
    Needs: write permission there.
    Kernel: Documentation/filesystems/overlayfs.rst, "Upper and Lower"; xattr(7).
    """
    path = directory(name)
    if filesystem_type(path) == "overlay":
        raise HostError(
            f"state directory {path}: lies on an overlay",
            f"mount a volume there, or set {VARIABLE} to a place on another filesystem",
            "chapter 06",
            meaning="an overlay's upper directory can't lie on another overlay",
        )
    if user_marks and not _keeps_user_marks(path):
        raise HostError(
            f"state directory {path}: its filesystem keeps no attributes user.*",
            f"set {VARIABLE} to a place on a disk (ext4, xfs, btrfs)",
            "xattr(7)",
            meaning="an overlay in a user namespace keeps its marks there; "
            "tmpfs has them since Linux 6.6",
        )
    return path


def write(
    path: HostPath, content: str | bytes, mode: int = 0o644, *, durable: bool = True
) -> None:
    """Replace a file as a whole: after a crash it is the old one or the new one.

    Args: path [host path; its directory must exist]; content [text is written as
        UTF-8]; durable [False for what a power cut ends anyway: a running process].
    Raises: HostError with the file's name: ENOSPC, EROFS, EACCES.
    Needs: write permission in the directory.
    Kernel: rename(2), fsync(2).
    """
    folder, name = os.path.split(path)
    # Process and thread in the name, because two writers in one file would mix.
    own = f"{os.getpid()}-{get_native_id()}"
    fresh = os.path.join(folder, f".{name}.{own}{_UNFINISHED}")
    try:
        with open(fresh, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            # Before rename, because the new name may reach the disk before the content.
            if durable:
                os.fsync(file.fileno())
        os.rename(fresh, path)
        if durable:
            # Not each time: a folder may have hundreds of files.
            for left_by_a_kill in unfinished(HostPath(folder)):
                _unlink(left_by_a_kill)
            sync(folder)
    except OSError as refused:
        _unlink(fresh)
        raise unusable(path, refused) from refused


@contextmanager
def lock(name: str, *, timeout_s: float = 60) -> Iterator[None]:
    """Hold the lab's lock of this name; other processes and threads wait for it.

    The lock is on the open file, which a forked child shares: so it is given back
    with LOCK_UN and not only by closing, and a child never gives back its parent's.

    Args: name [a file name]; timeout_s [how long to wait].
    Raises: HostError when somebody else keeps it longer, naming the process.
    Needs: write permission in the state directory.
    Kernel: flock(2).
    Left out: filesystems on which flock(2) isn't seen by other machines.
    """
    owner = os.getpid()
    path = os.path.join(directory("locks"), name)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(fd, name, timeout_s)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(owner).encode(), 0)
        yield
    finally:
        if os.getpid() == owner:
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def unusable(path: str, refused: OSError) -> HostError:
    """Return the error for a file of the state that Linux didn't let us use."""
    name = errno.errorcode.get(refused.errno or 0, "unknown error")
    return HostError(
        f"state directory {path}: {name}",
        f"set {VARIABLE} to a directory that you can write",
        "labkit doctor",
        meaning=_MEANINGS.get(name, "the lab can't keep its files there"),
    )


def unfinished(folder: HostPath) -> tuple[HostPath, ...]:
    """Return what a killed `write` left in a directory: half files of dead processes.

    Args: folder [host path]; what lies deeper isn't looked at.
    Raises: OSError when the directory can't be read.
    Needs: read permission there.
    """
    halves = (name for name in os.listdir(folder) if name.endswith(_UNFINISHED))
    dead = (name for name in halves if not os.path.exists(f"/proc/{_writer(name)}"))
    return tuple(HostPath(os.path.join(folder, name)) for name in sorted(dead))


def _keeps_user_marks(path: HostPath) -> bool:
    try:
        os.setxattr(path, _MARK, b"")
        os.removexattr(path, _MARK)
    except OSError as refused:
        if refused.errno != errno.ENOTSUP:
            raise unusable(path, refused) from refused
        return False
    return True


def _writer(name: str) -> str:
    return name.removesuffix(_UNFINISHED).rpartition(".")[2].partition("-")[0]


def _acquire(fd: int, name: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as held:
            # EWOULDBLOCK: polled instead of waiting in the kernel, so that Ctrl-C
            # and the time limit work.
            if time.monotonic() > deadline:
                raise _held(name, os.pread(fd, 32, 0).decode(), timeout_s) from held
        time.sleep(_POLL_S)


def _held(name: str, owner: str, timeout_s: float) -> HostError:
    return HostError(
        f'lock "{name}": not free after {timeout_s:g} s',
        f"wait for process {owner} or end it (kill {owner}), then try again",
        "flock(2)",
        meaning="another labkit process is changing the same files",
    )


_MEANINGS = {
    "EACCES": "it belongs to another user",
    "EPERM": "it belongs to another user",
    "EROFS": "the filesystem is read-only",
    "ENOSPC": "the filesystem is full",
    "EDQUOT": "your quota on this filesystem is used up",
    "EEXIST": "there is a file where the directory should be",
    "ENOTDIR": "there is a file where a directory should be",
}


def _unlink(path: str) -> None:
    # ENOENT: it was renamed already, or never made.
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def sync(folder: str) -> None:
    """Flush a directory: new names are in it, and it has a buffer of its own.

    Args: folder [host path].
    Raises: OSError when it isn't there, or the disk fails.
    Needs: read permission there.
    Kernel: fsync(2).
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

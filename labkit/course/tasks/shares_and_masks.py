"""Exercise 05, second part: what a container is shown, and what is hidden from it.

On a stage again: a tmpfs in the mount namespace of a child that plays the host.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.tasks.seen import refusal_of, seen_by, text_of
from labkit.course.verdict import Saw
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import Child, Plan
from labkit.primitives.mounts import MakePrivate, MountFilesystem
from labkit.primitives.namespaces import JoinNamespaces, Unshare

ShareReadonly = Callable[[Linux, str, str], None]
Hide = Callable[[Linux, str], None]


def check_share_readonly(share_readonly: ShareReadonly, case: Case) -> Saw:
    """Share a folder, then try to write through it, and beside it."""
    source, target = _paths(case, 2)
    secret = case.seed.secret()
    _must_change_one_mount_only(rehearse(share_readonly, str(source), str(target)))
    with _stage(case.folder) as host:
        for folder in (source, target):
            seen_by(host.pid, folder).mkdir()
        seen_by(host.pid, source / "letter").write_text(secret)
        first = _container_on(host)
        with attempt(share_readonly, str(source), str(target), first=first) as run:
            run.must(
                text_of(seen_by(run.pid, target / "letter")) == secret,
                "the folder isn't there: nothing of it can be read at the target",
            )
            refused = refusal_of(seen_by(run.pid, target / "new")) == errno.EROFS
            run.must(
                refused or "chmod" not in run.names,
                "Mallory wrote in spite of the permissions: she is root. What doesn't "
                "depend on who writes?",
            )
            run.must(
                refused,
                "Mallory wrote to the host's folder through it. MS_RDONLY was asked "
                "for; look at /proc/PID/mountinfo: did Linux do it?",
            )
            run.must(
                refusal_of(seen_by(host.pid, source / "new")) is None,
                "the host can't write to its own folder any more",
            )
            return run.saw("read inside, refused inside, and written outside")


def check_hide(hide: Hide, case: Case) -> Saw:
    """Hide a file, a folder, and something that isn't there."""
    rehearse(hide, "/")
    file, folder, missing, other = _paths(case, 4)
    secret = case.seed.secret()
    with _stage(case.folder) as host:
        seen_by(host.pid, folder).mkdir()
        for path in (file, folder / "key", other):
            seen_by(host.pid, path).write_text(secret)
        for path in (file, folder, missing):
            with attempt(hide, str(path), first=_container_on(host)) as run:
                _must_be_hidden(run, seen_by(run.pid, path), secret)
                run.must(
                    text_of(seen_by(run.pid, other)) == secret,
                    "it hid a neighbour, too, that nobody asked to hide",
                )
                kept = [seen_by(host.pid, path) for path in (file, folder / "key")]
                run.must(
                    set(map(text_of, kept)) == {secret},
                    "the host has lost its secret: it was to be hidden, not removed",
                )
        return run.saw("hidden inside, whole outside, for a file and for a folder")


def _must_change_one_mount_only(rehearsed: Run) -> None:
    remounts = [call.text for call in rehearsed.calls if "MS_REMOUNT" in call.text]
    rehearsed.must(
        all("MS_BIND" in text for text in remounts),
        "a remount without MS_BIND changes the whole file system, for everybody: the "
        "host could not write to its disk any more. Which flag means this one mount?",
    )


def _must_be_hidden(run: Run, path: Path, secret: str) -> None:
    if path.is_dir():
        found = os.listdir(path)
        run.must(not found, "the folder's content can still be seen from inside")
    else:
        run.must(text_of(path) != secret, "the file can still be read from inside")


@contextmanager
def _stage(folder: HostPath) -> Iterator[Child]:
    own = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))
    with (own + MountFilesystem("tmpfs", folder)).fork() as child:
        child.run()
        yield child


def _paths(case: Case, count: int) -> list[Path]:
    names = [f"{number}-{case.seed.name()}" for number in range(count)]
    return [Path(case.folder, name) for name in names]


def _container_on(host: Child) -> Plan:
    join = JoinNamespaces(host.pid, CLONE.NEWNS)
    return Plan(join, Unshare(CLONE.NEWNS), MakePrivate("/"))


SHARE_READONLY = Task(
    id="05.2",
    sentence="Mend a share: this function looks right, and Mallory writes to the host.",
    points=2,
    level=Level.EASY,
    size="two lines",
    question=Question(
        "mount(source, target, NULL, MS_BIND | MS_RDONLY). What does Linux do?",
        ("a read-only bind", "a bind, and not read-only", "it refuses the flags"),
    ),
    hints=(
        "Look at the options of the new mount in proc.mounts(child.pid): ro or rw?",
        "Read-only takes a second call, on the mount that the first one made.",
        "linux.mount(None, target, None, MS.BIND | MS.REMOUNT | MS.RDONLY), second.",
    ),
    functions=("share_readonly",),
    check=check_share_readonly,
    needs=("namespaces", "mounts"),
    mistakes=(
        Mistake(
            "leaves it as it is",
            """
def share_readonly(linux, source, target):
    linux.mount(source, target, None, MS.BIND | MS.RDONLY)
""",
            "Mallory wrote to the host's folder",
        ),
        Mistake(
            "remounts the whole file system",
            """
def share_readonly(linux, source, target):
    linux.mount(source, target, None, MS.BIND)
    linux.mount(None, target, None, MS.REMOUNT | MS.RDONLY)
""",
            "changes the whole file system",
        ),
        Mistake(
            "remounts the source",
            """
def share_readonly(linux, source, target):
    linux.mount(source, target, None, MS.BIND)
    linux.mount(None, source, None, MS.BIND | MS.REMOUNT | MS.RDONLY)
""",
            "EINVAL",
        ),
        Mistake(
            "takes the permissions away instead",
            """
def share_readonly(linux, source, target):
    linux.mount(source, target, None, MS.BIND)
    linux.chmod(target, 0o555)
""",
            "in spite of the permissions",
        ),
    ),
)

HIDE = Task(
    id="05.3",
    sentence="Hide a secret: a file, a folder, or something that isn't there.",
    points=3,
    level=Level.MEDIUM,
    size="about seven lines",
    question=Question(
        "You bind /dev/null over a folder. What does Linux say?",
        ("nothing: it is hidden", "ENOTDIR", "EBUSY"),
    ),
    hints=(
        "Look at lab.source(Mask): what is put over a file, and what over a folder?",
        "Ask first which it is, with os.path.isdir and os.path.exists. A file takes a "
        "bind of /dev/null, a folder an empty tmpfs.",
        'For a folder linux.mount("tmpfs", path, "tmpfs", MS.RDONLY); for a file '
        'linux.mount("/dev/null", path, None, MS.BIND); for neither nothing.',
    ),
    functions=("hide",),
    check=check_hide,
    needs=("namespaces", "mounts"),
    mistakes=(
        Mistake(
            "puts a tmpfs over everything",
            """
def hide(linux, path):
    linux.mount("tmpfs", path, "tmpfs", MS.RDONLY)
""",
            "ENOTDIR",
        ),
        Mistake(
            "removes what it should hide",
            """
def hide(linux, path):
    if os.path.isdir(path):
        linux.mount("tmpfs", path, "tmpfs", MS.RDONLY)
    elif os.path.exists(path):
        linux.unlink(path)
""",
            "the host has lost its secret",
        ),
        Mistake(
            "hides the folder that the secret lies in",
            """
def hide(linux, path):
    linux.mount("tmpfs", os.path.dirname(path), "tmpfs", MS.RDONLY)
""",
            "it hid a neighbour, too",
        ),
        Mistake(
            "stumbles over what isn't there",
            """
def hide(linux, path):
    if os.path.isdir(path):
        linux.mount("tmpfs", path, "tmpfs", MS.RDONLY)
    else:
        linux.mount("/dev/null", path, None, MS.BIND)
""",
            "ENOENT",
        ),
    ),
)

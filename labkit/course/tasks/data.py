"""Exercise 14: a volume, read-only to the bottom. The other task is in `typed_volumes`.

On a stage again: a tmpfs in the mount namespace of a child that plays the host, with
another one mounted in a folder of it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import typed_volumes
from labkit.course.tasks.seen import refusal_of, seen_by, text_of
from labkit.course.verdict import Saw
from labkit.linux.flags import CLONE, MS
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan import Child, Plan
from labkit.primitives.mounts import MakePrivate, MountFilesystem
from labkit.primitives.namespaces import JoinNamespaces, Unshare
from labkit.primitives.root import MakeDir

AddVolume = Callable[[Linux, str, str, bool], None]


def check_add_volume(add_volume: AddVolume, case: Case) -> Saw:
    """Add a folder that has another mount in it; once to be written, once not."""
    base = f"{case.folder}/{case.seed.name()}"
    source, target = f"{base}/source", f"{base}/target"
    secret = case.seed.secret()
    for readonly in (False, True):
        rehearsed = rehearse(add_volume, source, target, readonly)
        rehearsed.must(
            {"mount", "move_mount"} & set(rehearsed.names),
            "nothing was mounted: which call shows a folder at a second place?",
        )
        with _stage(base, source, target) as host:
            for place in (source, f"{source}/stick"):
                seen_by(host.pid, Path(place, "letter")).write_text(secret)
            first = Plan(JoinNamespaces(host.pid, CLONE.NEWNS), *_OWN)
            with attempt(add_volume, source, target, readonly, first=first) as run:
                _must_show(run, target, secret)
                _must_be_written(run, host.pid, source, target, readonly=readonly)
    return run.saw("read in both; written in one, refused in the other, to the bottom")


_OWN = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))


@contextmanager
def _stage(base: str, source: str, target: str) -> Iterator[Child]:
    Path(base).mkdir(exist_ok=True)
    plan = Plan(
        *_OWN,
        MountFilesystem("tmpfs", base),
        MakeDir(source),
        MakeDir(f"{source}/stick"),
        MountFilesystem("tmpfs", f"{source}/stick", MS.NOSUID | MS.NODEV),
        MakeDir(target),
    )
    with plan.fork() as child:
        child.run()
        yield child


def _must_show(run: Run, target: str, secret: str) -> None:
    run.must(
        text_of(seen_by(run.pid, Path(target, "letter"))) == secret,
        "nothing of the folder can be read at the target",
    )
    run.must(
        text_of(seen_by(run.pid, Path(target, "stick/letter"))) == secret,
        "the folder is there, and what is mounted in it isn't: its mount point is "
        "empty. Which flag takes along what lies below?",
    )


def _must_be_written(
    run: Run, host: HostPid, source: str, target: str, *, readonly: bool
) -> None:
    wanted = errno.EROFS if readonly else None
    top, below = (
        refusal_of(seen_by(run.pid, Path(target, name)))
        for name in ("new", "stick/new")
    )
    if not readonly:
        run.must(top is below is None, "it was to be written to, and Linux refuses")
    run.must(
        top == wanted,
        "it was to be read only, and Mallory wrote to it. What does "
        "/proc/PID/mountinfo say of the mount?",
    )
    run.must(
        below == wanted,
        "the folder refuses, and what is mounted in it was written to. A remount "
        "changes one mount; which call changes all of them?",
    )
    run.must(
        refusal_of(seen_by(host, Path(source, "other"))) is None,
        "the host can't write to its own folder any more",
    )


ADD_VOLUME = Task(
    id="14.1",
    sentence="Give your runtime volumes, read-only to the bottom where that is asked.",
    points=3,
    level=Level.MEDIUM,
    size="about four lines",
    question=Question(
        "A folder has a stick mounted in it. You bind it and remount it read-only. "
        "Can the stick be written to?",
        ("yes", "no", "the remount is an error"),
    ),
    hints=(
        "Run your function on the chapter's stage, with the stick, and look at "
        "/proc/PID/mountinfo: how many mounts are there, and which of them say ro?",
        "linux.mount(source, target, None, MS.BIND | MS.REC) takes along what lies "
        "below. linux.mount_setattr(path, attributes, recursive=True) changes all.",
        "if readonly: linux.mount_setattr(target, MountAttributes(attr_set="
        "MOUNT_ATTR.RDONLY), recursive=True)",
    ),
    functions=("add_volume",),
    check=check_add_volume,
    needs=("namespaces", "mounts", "root"),
    kept=True,
    mistakes=(
        Mistake(
            "asks for read-only when it binds",
            """
def add_volume(linux, source, target, readonly):
    how = MS.RDONLY if readonly else MS(0)
    linux.mount(source, target, None, MS.BIND | MS.REC | how)
""",
            "Mallory wrote to it",
        ),
        Mistake(
            "remounts the top only",
            """
def add_volume(linux, source, target, readonly):
    linux.mount(source, target, None, MS.BIND | MS.REC)
    if readonly:
        linux.mount(None, target, None, MS.BIND | MS.REMOUNT | MS.RDONLY)
""",
            "what is mounted in it was written to",
        ),
        Mistake(
            "leaves out what lies below",
            """
def add_volume(linux, source, target, readonly):
    linux.mount(source, target, None, MS.BIND)
    if readonly:
        linux.mount(None, target, None, MS.BIND | MS.REMOUNT | MS.RDONLY)
""",
            "its mount point is empty",
        ),
        Mistake(
            "is always read-only",
            """
def add_volume(linux, source, target, readonly):
    linux.mount(source, target, None, MS.BIND | MS.REC)
    locked = MountAttributes(attr_set=MOUNT_ATTR.RDONLY)
    linux.mount_setattr(target, locked, recursive=True)
""",
            "it was to be written to",
        ),
    ),
)

EXERCISE = Exercise(
    "14",
    "Exercise 14: Data that stays",
    "Give a container its data, then read what people type for it.",
    "14_data_that_stays.ipynb",
    (ADD_VOLUME, typed_volumes.READ_TYPED),
)

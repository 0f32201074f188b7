"""Exercise 05: the locked door. Its other two tasks are in `shares_and_masks`.

Learners' code runs on a stage: a child plays the host, with mounts of its own that are
shared as systemd's are, and learns of everything that a wrong answer mounts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labkit.course.attempt import Run, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import shares_and_masks
from labkit.course.verdict import Saw
from labkit.linux import proc
from labkit.linux.flags import CLONE, MS
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import Child, Plan, step
from labkit.primitives.mounts import MakePrivate, MountFilesystem
from labkit.primitives.namespaces import JoinNamespaces, Unshare
from labkit.primitives.root import Chdir, MakeDir

LockRoot = Callable[[Linux, str], None]


def check_lock_root(lock_root: LockRoot, case: Case) -> Saw:
    """Lock a root on a host whose mounts are shared, and look at the whole tree."""
    root = HostPath(os.path.join(case.folder, case.seed.name()))
    _must_have_the_calls(rehearse(lock_root, root))
    with _stage(case.folder, root) as host:
        before = proc.mounts(host.pid)
        first = Plan(
            JoinNamespaces(host.pid, CLONE.NEWNS),
            Unshare(CLONE.NEWNS),
            Chdir(case.folder),
        )
        with attempt(lock_root, root, first=first) as run:
            heard = len(proc.mounts(host.pid)) - len(before)
            run.must(
                not heard,
                f"the host has {heard} mount more than before: it heard of what was "
                "mounted inside. Which flags cut all mounts off?",
            )
            _must_be_all_there_is(run, f"/proc/{host.pid}/root{root}")
            run.must(
                _same(f"/proc/{run.pid}/cwd", f"/proc/{run.pid}/root"),
                '"." of your process is still in the old tree, and ".." leads on from '
                "there. Which call moves it?",
            )
            return run.saw("one mount is left in its tree, and no path leads out of it")


def _must_have_the_calls(rehearsed: Run) -> None:
    # Each may be done by the new mount API as well; what it does is seen on Linux.
    new = {"mount_setattr", "open_tree", "move_mount"} & set(rehearsed.names)
    mounted = [call.text for call in rehearsed.calls if call.name == "mount"]
    private = [text for text in mounted if "MS_PRIVATE" in text or "MS_SLAVE" in text]
    rehearsed.must(
        new or "pivot_root" in rehearsed.names or "MS_MOVE" in "".join(mounted),
        "the tree of the mount namespace is as it was. chroot moves one process; which "
        "call exchanges the root mount?",
    )
    rehearsed.must(
        new or private,
        "the mounts are still shared: what is mounted inside appears outside. Which "
        "flag cuts them off?",
    )
    rehearsed.must(
        new or any("MS_REC" in text for text in private),
        "only the mount at / became private, and the ones below it are still shared. "
        "Which flag means them, too?",
    )
    rehearsed.must(
        new or any("MS_BIND" in text for text in mounted),
        "the new root is an ordinary folder, and pivot_root exchanges mounts. What "
        "makes a mount of a folder?",
    )


def _must_be_all_there_is(run: Run, root: str) -> None:
    # Asked by a visitor, because a process is shown only the mounts below its own root.
    with Plan(JoinNamespaces(run.pid, CLONE.NEWNS)).fork() as visitor:
        visitor.run()
        others = len(proc.mounts(visitor.pid)) - 1
        run.must(
            not others,
            f"{others} mounts of the host are still in its tree. The old root was "
            "exchanged; which call takes it off, with all that hangs from it?",
        )
        run.must(
            _same(f"/proc/{visitor.pid}/root", root),
            "the root mount of its namespace is not the folder that path names",
        )


@contextmanager
def _stage(folder: HostPath, root: HostPath) -> Iterator[Child]:
    plan = Plan(
        Unshare(CLONE.NEWNS),
        MakePrivate("/"),
        MountFilesystem("tmpfs", folder),
        MakeDir(root),
        MakeDir(f"{root}/mnt"),
        step(_share_everything),
    )
    with plan.fork() as child:
        child.run()
        yield child


def _share_everything(linux: Linux) -> None:
    linux.mount(None, "/", None, MS.REC | MS.SHARED)


def _same(one: str, other: str) -> bool:
    return os.path.samestat(os.stat(one), os.stat(other))


LOCK_ROOT = Task(
    id="05.1",
    sentence="Lock the door: give your runtime a root that nothing leads out of.",
    points=3,
    level=Level.MEDIUM,
    size="about six lines",
    question=Question(
        "pivot_root has exchanged the roots. Which call locks the door?",
        ("none: it is locked", "chdir, into the new root", "umount2, of the old root"),
    ),
    hints=(
        "Look at proc.mounts(child.pid) of a child after PivotRoot: how many mounts "
        "are left? lab.source(PivotRoot) has four of your calls.",
        "In this order: mount (private), mount (bind), chdir, pivot_root, umount2, "
        "chdir.",
        'linux.mount(None, "/", None, MS.REC | MS.PRIVATE); bind path on path with '
        'MS.BIND | MS.REC; go to path; pivot_root(".", "."); umount2(".", MNT.DETACH); '
        'chdir("/").',
    ),
    functions=("lock_root",),
    check=check_lock_root,
    needs=("namespaces", "mounts", "pivot_root"),
    kept=True,
    mistakes=(
        Mistake(
            "takes chroot again",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.chroot(path)
    linux.chdir("/")
""",
            "chroot moves one process",
        ),
        Mistake(
            "forgets to make the mounts private",
            """
def lock_root(linux, path):
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.chdir(path)
    linux.pivot_root(".", ".")
    linux.umount2(".", MNT.DETACH)
    linux.chdir("/")
""",
            "the mounts are still shared",
        ),
        Mistake(
            "forgets MS_REC",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND)
    linux.chdir(path)
    linux.pivot_root(".", ".")
    linux.umount2(".", MNT.DETACH)
    linux.chdir("/")
""",
            "only the mount at / became private",
        ),
        Mistake(
            "forgets to bind the root on itself",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.chdir(path)
    linux.pivot_root(".", ".")
    linux.umount2(".", MNT.DETACH)
    linux.chdir("/")
""",
            "What makes a mount of a folder?",
        ),
        Mistake(
            "leaves the old root attached",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.pivot_root(path, f"{path}/mnt")
    linux.chdir("/")
""",
            "mounts of the host are still in its tree",
        ),
        Mistake(
            "unmounts a root that is in use",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.chdir(path)
    linux.pivot_root(".", ".")
    linux.umount2(".")
    linux.chdir("/")
""",
            "EBUSY",
        ),
        Mistake(
            "leaves its working directory outside",
            """
def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.pivot_root(path, f"{path}/mnt")
    linux.umount2("/mnt", MNT.DETACH)
""",
            "still in the old tree",
        ),
    ),
)

EXERCISE = Exercise(
    "05",
    "Exercise 05: pivot_root and mounts",
    "Lock the root of your runtime, mend a share that isn't read-only, hide a secret.",
    "05_pivot_root_and_mounts.ipynb",
    (LOCK_ROOT, shares_and_masks.SHARE_READONLY, shares_and_masks.HIDE),
)

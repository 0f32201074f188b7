"""Try what a container needs, in forked children that leave nothing behind.

    this process        a child                its child, PID 1 in there
    ------------        -------                -------------------------
    fork -------------> unshare, mount tmpfs
       <- one line      fork ----------------> mount proc, overlay
       for each trial,                         unshare a user namespace
       in a pipe        pivot_root             mount overlay in it

Whether a machine lets you do something follows from a dozen settings, and from
security modules that no file tells of. So the lab asks Linux, with the very calls
that the chapters make. What a trial mounts dies with its mount namespace.
"""

from __future__ import annotations

import os
import select
import signal
import time
import warnings
from _thread import get_native_id
from collections.abc import Callable
from enum import StrEnum
from functools import partial, reduce
from operator import or_

from labkit.errors import HostError, LabError
from labkit.linux import CLONE, MNT, MS, Linux, NamespaceType
from labkit.values import dataclass

_TIMEOUT_S = 5
# Every Linux has this directory; in the trial's own mount namespace a tmpfs covers it.
_SCRATCH = "/tmp"


class Trial(StrEnum):
    """What is tried; the value is how the doctor calls it."""

    USER_NAMESPACE = "a user namespace"
    NAMESPACES = "namespaces"
    MOUNTS = "mounts"
    OVERLAY = "overlay"
    OVERLAY_IN_USER_NAMESPACE = "overlay in a user namespace"
    PROC = "proc"
    PIVOT_ROOT = "pivot_root"


@dataclass(frozen=True, slots=True)
class Trials:
    """What came of the trials: for each its failure, or an empty text."""

    results: tuple[tuple[Trial, str], ...] = ()

    def works(self, trial: Trial) -> bool:
        """Say whether a trial was made and went well."""
        return (trial, "") in self.results

    def failure(self, trial: Trial) -> str:
        """Return why a trial didn't work; an empty text if it did.

        One that was never reached has the failure of the step that stood before it.
        """
        failures = dict(self.results)
        before = next((text for text in failures.values() if text), "was not tried")
        return failures.get(trial, before)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks: whether namespaces can be made without a user namespace first."""

    privileged: bool
    uid: int
    gid: int
    kinds: tuple[NamespaceType, ...] = tuple(NamespaceType)


def attempt(who: Who) -> Trials:
    """Make every trial, in children; this process stays as it is.

    Args: who [the caller's ids, and the kinds of namespace that this Linux has].
    Returns: what worked; a trial that wasn't reached counts as failed.
    Raises: HostError when called from another thread than the main one: a fork
        there would copy locks that nobody opens again.
    Needs: nothing; that is the point.
    Kernel: unshare(2), mount(2), pivot_root(2).
    """
    if get_native_id() != os.getpid():
        raise HostError(
            "labkit.host.probe(): called outside the main thread",
            "probe once in the main thread and hand the Host to the others",
            "fork(2)",
            meaning="a fork copies the locks of other threads, and nobody opens them",
        )
    read_fd, write_fd = os.pipe()
    pid = _fork(partial(_trials, who, write_fd))
    os.close(write_fd)
    try:
        return _parse(_read_all(read_fd))
    finally:
        os.close(read_fd)
        _end(pid)


def _trials(who: Who, report_fd: int) -> None:
    # The first step must succeed: without namespaces of our own the next ones
    # would change the machine.
    linux = Linux(forked=True)
    attempt_one = partial(_attempt_one, report_fd)
    user = partial(_own_user_namespace, linux, who)
    if not who.privileged and not attempt_one(Trial.USER_NAMESPACE, user):
        return
    kinds = [kind for kind in who.kinds if kind is not NamespaceType.USER]
    flags = reduce(or_, (kind.clone for kind in kinds), CLONE(0))
    unshare = partial(linux.unshare, flags)
    if CLONE.NEWNS not in flags or not attempt_one(Trial.NAMESPACES, unshare):
        return
    if not attempt_one(Trial.MOUNTS, partial(_private_tmpfs, linux)):
        return
    _wait(_fork(partial(_as_pid_1, linux, who, attempt_one)))
    # Last, because from then on the host's /proc is out of reach.
    pivot = partial(linux.pivot_root, _SCRATCH, f"{_SCRATCH}/old")
    attempt_one(Trial.PIVOT_ROOT, pivot)


Attempt = Callable[[Trial, Callable[[], None]], bool]


def _as_pid_1(linux: Linux, who: Who, attempt_one: Attempt) -> None:
    # A /proc shows a PID namespace, and only a process born in it can mount it.
    attempt_one(Trial.PROC, partial(_proc, linux))
    if who.privileged:
        attempt_one(Trial.OVERLAY, partial(_overlay, linux, ""))
        user = partial(_own_user_namespace, linux, who)
        if not attempt_one(Trial.USER_NAMESPACE, user):
            return
    inner = Trial.OVERLAY_IN_USER_NAMESPACE
    attempt_one(inner, partial(_overlay_of_its_own, linux))


def _overlay_of_its_own(linux: Linux) -> None:
    linux.unshare(CLONE.NEWNS)
    _private_tmpfs(linux)
    _overlay(linux, ",userxattr")


def _own_user_namespace(linux: Linux, who: Who) -> None:
    linux.unshare(CLONE.NEWUSER)
    # setgroups before gid_map, because since Linux 3.19 the kernel asks for it.
    linux.write_file("/proc/self/setgroups", "deny")
    linux.write_file("/proc/self/uid_map", f"0 {who.uid} 1")
    linux.write_file("/proc/self/gid_map", f"0 {who.gid} 1")


def _private_tmpfs(linux: Linux) -> None:
    # Private before mounting, because "/" may be shared and would show it to the host.
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE, None)
    linux.mount("tmpfs", _SCRATCH, "tmpfs", MS.NOSUID | MS.NODEV, None)
    for name in ("lower", "upper", "work", "merged", "proc", "old"):
        linux.mkdir(f"{_SCRATCH}/{name}")


def _overlay(linux: Linux, options: str) -> None:
    names = {"lowerdir": "lower", "upperdir": "upper", "workdir": "work"}
    layers = ",".join(f"{option}={_SCRATCH}/{name}" for option, name in names.items())
    linux.mount("overlay", f"{_SCRATCH}/merged", "overlay", MS(0), layers + options)
    # A write shows that the upper layer is usable and not only accepted.
    linux.mkdir(f"{_SCRATCH}/merged/new")
    linux.umount2(f"{_SCRATCH}/merged", MNT.DETACH)


def _proc(linux: Linux) -> None:
    linux.mount(
        "proc", f"{_SCRATCH}/proc", "proc", MS.NOSUID | MS.NODEV | MS.NOEXEC, None
    )


def _attempt_one(report_fd: int, trial: Trial, function: Callable[[], None]) -> bool:
    try:
        function()
        failure = ""
    except LabError as refused:
        failure = refused.message
    os.write(report_fd, f"{trial.name}\t{failure}\n".encode())
    return not failure


def _fork(function: Callable[[], None]) -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns when a process with threads forks. The child here runs plain
        # Python, takes no lock of another thread and leaves with _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    try:
        function()
    finally:
        os._exit(0)


def _wait(pid: int) -> None:
    os.waitpid(pid, 0)


def _read_all(fd: int) -> str:
    text, deadline = b"", time.monotonic() + _TIMEOUT_S
    while select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(fd, 65536)
        if not part:
            break
        text += part
    return text.decode()


def _end(pid: int) -> None:
    # A child that has already ended is a zombie until waited for, so its pid can't
    # be another process's.
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _parse(text: str) -> Trials:
    rows = (line.partition("\t") for line in text.splitlines())
    return Trials(tuple((Trial[name], failure) for name, _, failure in rows))

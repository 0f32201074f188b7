"""Ways out by other processes: signals, ptrace, namespaces, keys, a terminal."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import subprocess
import termios
import tty
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from labkit.errors import LabError
from labkit.linux import CLONE, Linux
from labkit.linux.flags import CAP
from labkit.plan import Plan, Step, step
from labkit.primitives.leftovers import JoinSessionKeyring, NewSession
from tests.escapes.book import (
    Attack,
    all_capabilities,
    change,
    no_namespace,
    no_seccomp,
    without,
)
from tests.escapes.files import begun
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle

PTRACE_SEIZE = 0x4206  # linux/ptrace.h
TIOCSTI = 0x5412  # asm-generic/ioctls.h
ADD_KEY, KEYCTL = 248, 250  # x86-64, asm/unistd_64.h
JOIN_SESSION_KEYRING, SEARCH, READ = 1, 10, 11  # linux/keyctl.h
SESSION = ctypes.c_long(-3)
LIBC = ctypes.CDLL(None, use_errno=True)


def by_a_signal(bundle: Bundle, outside: Outside) -> bool:
    """Kill a process of the host's by its number."""
    with outside.neighbour() as neighbour:
        bundle.run("kill", "-9", str(neighbour.pid))
        try:
            neighbour.wait(0.3)
        except subprocess.TimeoutExpired:
            return False
        return True


def by_reading_an_environment(bundle: Bundle, outside: Outside) -> bool:
    """Passwords are passed in the environment: whose can be read?"""
    with outside.neighbour() as neighbour:
        return outside.secret in bundle.run("cat", f"/proc/{neighbour.pid}/environ")


def by_ptrace(bundle: Bundle, outside: Outside) -> bool:
    """Take over a process of the host's."""
    with outside.neighbour() as neighbour:
        return "seized" in does(bundle, _seize, neighbour.pid)


def by_setns(bundle: Bundle, outside: Outside) -> bool:
    """Enter the mount namespace of process 1, and read there."""
    return outside.secret in does(bundle, _enter_and_read, str(outside.file))


def by_a_user_namespace(bundle: Bundle, outside: Outside) -> bool:
    """Get all capabilities again, in a user namespace of one's own."""
    return "all again" in does(bundle, _unshare_user)


def by_a_key(bundle: Bundle, outside: Outside) -> bool:
    """Find the keys of whoever started the container."""
    change(bundle, lambda plan: Plan(step(_keep_a_key, outside.secret), *plan.steps))
    return outside.secret in does(bundle, _find_the_key)


def by_typing(bundle: Bundle, outside: Outside) -> bool:
    """Type into the terminal of whoever started the container."""
    ours, theirs = pty.openpty()
    starter = os.fork()
    if starter == 0:
        typed = False
        try:
            typed = _typed_by(bundle, theirs)
        finally:
            os._exit(typed)
    os.close(ours)
    os.close(theirs)
    return os.waitstatus_to_exitcode(os.waitpid(starter, 0)[1]) == 1


def _typed_by(bundle: Bundle, terminal: int) -> bool:
    # Whoever starts a container at a terminal leads its session, and lives on.
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    tty.setcbreak(terminal)
    does(bundle, _type, terminal)
    os.set_blocking(terminal, False)
    try:
        return b"x" in os.read(terminal, 1)
    except BlockingIOError:
        return False


def does(bundle: Bundle, function: Callable[..., None], *args: object) -> str:
    """Run a function in place of the program; return what it said."""
    change(bundle, lambda plan: Plan(*begun(plan), Does(function, args)))
    return bundle.run("true")


@dataclass(frozen=True, slots=True, repr=False)
class Does(Step):
    """A function that is the last thing of a process of ours, then a program."""

    function: Callable[..., None]
    args: tuple[object, ...]

    replaces: ClassVar[bool] = True

    def describe(self) -> str:
        return f"attack: {self.function.__name__}"

    def apply(self, linux: Linux) -> int | None:
        with contextlib.suppress(LabError, OSError):  # it was refused: nothing is said
            self.function(linux, *self.args)
        linux.execve("/bin/true", ["true"], {})
        return None


def say(text: str) -> None:
    """Write to the container's output."""
    os.write(1, text.encode())


def _seize(linux: Linux, pid: int) -> None:
    if LIBC.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
        say("seized")


def _enter_and_read(linux: Linux, path: str) -> None:
    linux.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), CLONE.NEWNS)
    with open(path) as file:
        say(file.read())


def _unshare_user(linux: Linux) -> None:
    linux.unshare(CLONE.NEWUSER)
    if CAP.SYS_ADMIN in linux.capget().effective:
        say("all again")


def _keep_a_key(linux: Linux, secret: str) -> None:
    # In a session keyring of the "host" of this test, not in that of who runs it.
    LIBC.syscall(KEYCTL, JOIN_SESSION_KEYRING, None)
    payload = secret.encode()
    key = LIBC.syscall(ADD_KEY, b"user", b"labkit", payload, len(payload), SESSION)
    assert key > 0, os.strerror(ctypes.get_errno())


def _find_the_key(linux: Linux) -> None:
    key = LIBC.syscall(KEYCTL, SEARCH, SESSION, b"user", b"labkit", 0)
    found = ctypes.create_string_buffer(64)
    if key > 0 and LIBC.syscall(KEYCTL, READ, key, found, 64) > 0:
        say(found.value.decode())


def _type(linux: Linux, fd: int) -> None:
    # The descriptor stands for a stdin that is the host's terminal.
    fcntl.ioctl(fd, TIOCSTI, b"x")


ATTACKS = (
    Attack(
        "a signal",
        "since containers share a kernel",
        by_a_signal,
        {"a PID namespace": no_namespace("pid")},
    ),
    Attack(
        "reading an environment",
        "since containers have a /proc",
        by_reading_an_environment,
        {"a PID namespace": no_namespace("pid"), "capabilities": all_capabilities},
    ),
    Attack(
        "ptrace",
        "CVE-2019-5736's neighbours",
        by_ptrace,
        {"a PID namespace": no_namespace("pid"), "capabilities": all_capabilities},
    ),
    Attack(
        "setns to the host",
        "nsenter(1)",
        by_setns,
        {
            "a PID namespace": no_namespace("pid"),
            "capabilities": all_capabilities,
            "seccomp": no_seccomp,
        },
    ),
    Attack(
        "a user namespace",
        "CVE-2022-0185 and many others",
        by_a_user_namespace,
        {"seccomp": no_seccomp},
    ),
    Attack(
        "a key of the host's",
        "CVE-2014-4652's neighbours; runc, 2016",
        by_a_key,
        {"JoinSessionKeyring": without(JoinSessionKeyring), "seccomp": no_seccomp},
    ),
    Attack(
        "typing into the host's terminal",
        "TIOCSTI: CVE-2016-7545 and others",
        by_typing,
        {"NewSession": without(NewSession)},
    ),
)

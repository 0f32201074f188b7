"""The table: one row for each system call that the lab makes.

A row has the call's man-page name, the function that makes it, and the kind of each
argument. The kind says how the argument goes to C and how it is written in an error or
a trace. Calls that Python's `os` has are taken from there; the others come from libc by
name. A call for which libc has no symbol is made by number, for the machines whose
number is in the row; on any other machine it doesn't exist (ENOSYS), never a guess.
"""

from __future__ import annotations

import _socket  # socket without its many names: a container's start waits for it
import ctypes
import errno
import fcntl
import operator
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from labkit.linux import rtnetlink

AT_FDCWD = -100  # fcntl.h
SHOWN_BYTES = 80

_libc = ctypes.CDLL(None, use_errno=True)
# clone3 returns twice: PyDLL keeps the interpreter's lock, so the child has it too.
_libc_holding_the_lock = ctypes.PyDLL(None, use_errno=True)


class Kind(NamedTuple):
    """How an argument goes to C, and how it is written."""

    encode: Callable[[Any], Any]
    show: Callable[[Any], str]


class Row(NamedTuple):
    """One system call: its name, what makes it, and its arguments' kinds."""

    name: str
    function: Callable[..., Any]
    kinds: tuple[Kind, ...]

    def text(self, arguments: tuple[Any, ...]) -> str:
        """Return the call as one would write it in C."""
        shown = (
            kind.show(arg) for kind, arg in zip(self.kinds, arguments, strict=True)
        )
        return f"{self.name}({', '.join(shown)})"


def _quoted(value: Any) -> str:
    if value is None:
        return "NULL"
    text = os.fsdecode(value)
    text = text if len(text) <= SHOWN_BYTES else text[:SHOWN_BYTES] + "..."
    return '"' + text.replace("\n", "\\n").replace("\0", "\\0") + '"'


def _bytes_or_null(value: Any) -> bytes | None:
    return None if value is None else os.fsencode(value)


def _directory(value: int) -> str:
    return "AT_FDCWD" if value == AT_FDCWD else str(int(value))


def _signal(value: int) -> str:
    return (
        signal.Signals(value).name if value in list(signal.Signals) else str(int(value))
    )


PATH = Kind(_bytes_or_null, _quoted)
TEXT = PATH
DATA = Kind(lambda value: value, _quoted)
INT = Kind(int, lambda value: str(int(value)))
FLAGS = Kind(int, str)
NAMED = FLAGS
FD = Kind(int, _directory)
MODE = Kind(int, lambda value: f"{int(value):#o}".replace("0o", "0"))
SIGNAL = Kind(int, _signal)
LIST = Kind(
    lambda value: value, lambda value: "[" + ", ".join(map(_quoted, value)) + "]"
)
ENVIRONMENT = Kind(lambda value: value, lambda value: f"[{len(value)} variables]")
ARGUMENT = Kind(lambda value: value, lambda v: str(v) if isinstance(v, int) else "{}")
SET = Kind(set, lambda value: f"{{{len(value)} signals}}")
IDS = Kind(list, lambda value: "[" + ", ".join(map(str, value)) + "]")
STRUCT = Kind(lambda value: value, str)
ATTRIBUTES = Kind(lambda value: value, rtnetlink.shown)


def _from_libc(name: str, *kinds: Kind, number: dict[str, int] | None = None) -> Row:
    if hasattr(_libc, name):
        return Row(name, _checked(_libc[name], kinds), kinds)
    here = (number or {}).get(os.uname().machine)
    if here is None:
        return Row(name, _missing, kinds)
    library = _libc_holding_the_lock if name == "clone3" else _libc
    return Row(name, _checked(library["syscall"], kinds, here), kinds)


def _checked(symbol: Any, kinds: tuple[Kind, ...], *first: int) -> Callable[..., int]:
    # Said once: a plain Python int would go as a C int, its flags above bit 31 cut off.
    symbol.argtypes = [*(ctypes.c_long for _ in first), *map(_c_type, kinds)]
    encoders = tuple(kind.encode for kind in kinds)

    def call(*arguments: Any) -> int:
        if len(arguments) != len(encoders):
            raise TypeError(f"{len(encoders)} arguments wanted, {len(arguments)} given")
        result: int = symbol(*first, *map(operator.call, encoders, arguments))
        if result == -1:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    return call


def _c_type(kind: Kind) -> Any:
    if kind is PATH:
        return ctypes.c_char_p
    return ctypes.c_void_p if kind is STRUCT else ctypes.c_ulong


def _missing(*arguments: Any) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _from_os(
    name: str, *kinds: Kind, function: Callable[..., Any] | None = None
) -> Row:
    return Row(name, function or getattr(os, name), kinds)


def _execve(path: str, argv: Sequence[str], envp: Sequence[str]) -> None:
    os.execve(path, list(argv), dict(item.split("=", 1) for item in envp))


def _mkdirat(dir_fd: int, path: str, mode: int) -> None:
    os.mkdir(path, mode, dir_fd=dir_fd)


def _mknodat(dir_fd: int, path: str, mode: int, device: int) -> None:
    os.mknod(path, mode, device, dir_fd=dir_fd)


def _symlinkat(target: str, dir_fd: int, path: str) -> None:
    os.symlink(target, path, dir_fd=dir_fd)


def _readlinkat(dir_fd: int, path: str) -> str:
    return os.readlink(path, dir_fd=dir_fd)


def _connect(path: str) -> int:
    import socket  # not before: most processes that use the table never need it

    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(path)
        return stream.detach()


def _send_descriptors(fd: int, data: bytes, descriptors: Sequence[int]) -> int:
    # SCM_RIGHTS is what Python's socket module calls send_fds.
    packed = b"".join(one.to_bytes(4, sys.byteorder) for one in descriptors)
    channel = _socket.socket(fileno=fd)
    try:
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)
        return channel.sendmsg([data], [rights])
    finally:
        channel.detach()


# Since Linux 5.1 new calls have one number on every machine.
_SAME_EVERYWHERE = ("x86_64", "aarch64", "riscv64", "ppc64le", "s390x")


def _sigwaitinfo(signals: set[int]) -> int:
    return signal.sigwaitinfo(signals).si_signo


def _fstatat(dir_fd: int, path: str) -> os.stat_result:
    return os.stat(path, dir_fd=dir_fd, follow_symlinks=False)


def _sendfile(out_fd: int, in_fd: int, count: int) -> int:
    return os.sendfile(out_fd, in_fd, None, count)


def _poll(fd: int, timeout_ms: int) -> int:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return len(poller.poll(timeout_ms))


def _by_machine(x86_64: int, aarch64: int) -> dict[str, int]:
    return {"x86_64": x86_64, "aarch64": aarch64}


def _new(number: int) -> dict[str, int]:
    return dict.fromkeys(_SAME_EVERYWHERE, number)


_rows = (
    # namespaces and processes
    _from_libc("unshare", FLAGS),
    _from_libc("setns", FD, FLAGS),
    _from_libc("clone3", STRUCT, INT, number=_new(435)),
    _from_libc("prctl", NAMED, INT, INT, INT, INT),
    _from_libc("capget", STRUCT, STRUCT),
    _from_libc("capset", STRUCT, STRUCT),
    _from_libc("sethostname", TEXT, INT),
    _from_libc("setdomainname", TEXT, INT),
    _from_os("fork"),
    _from_os("waitpid", INT, INT),
    _from_os("execve", PATH, LIST, ENVIRONMENT, function=_execve),
    _from_os("getpid"),
    _from_os("setsid"),
    _from_os("setpgid", INT, INT),
    _from_os("tcsetpgrp", FD, INT),
    _from_os("sigprocmask", INT, SET, function=signal.pthread_sigmask),
    _from_os("sigwaitinfo", SET, function=_sigwaitinfo),
    _from_os("kill", INT, SIGNAL),
    _from_os("pidfd_open", INT, INT),
    _from_os("pidfd_send_signal", FD, SIGNAL, function=signal.pidfd_send_signal),
    _from_os("umask", MODE),
    _from_os("setgroups", IDS),
    _from_os("setresuid", INT, INT, INT),
    _from_os("setresgid", INT, INT, INT),
    _from_libc("setrlimit", NAMED, STRUCT),
    _from_libc("personality", INT),
    _from_libc("ioprio_set", INT, INT, INT, number=_by_machine(251, 30)),
    _from_libc("sched_setattr", INT, STRUCT, INT, number=_by_machine(314, 274)),
    _from_libc("seccomp", NAMED, FLAGS, STRUCT, number=_by_machine(317, 277)),
    _from_libc("keyctl", NAMED, INT, INT, number=_by_machine(250, 219)),
    _from_libc("bpf", INT, STRUCT, INT, number=_by_machine(321, 280)),
    # the network
    _from_os("rtnetlink", TEXT, ATTRIBUTES, function=rtnetlink.ask),
    _from_os("connect", PATH, function=_connect),
    # mounts and roots
    _from_libc("mount", PATH, PATH, TEXT, FLAGS, TEXT),
    _from_libc("umount2", PATH, FLAGS),
    _from_libc("pivot_root", PATH, PATH),
    _from_os("chroot", PATH),
    _from_os("chdir", PATH),
    _from_os("fchdir", FD),
    _from_libc("open_tree", FD, PATH, FLAGS),
    _from_libc("move_mount", FD, PATH, FD, PATH, FLAGS),
    _from_libc("fsopen", TEXT, FLAGS),
    _from_libc("fsconfig", FD, NAMED, TEXT, TEXT, INT),
    _from_libc("fsmount", FD, FLAGS, FLAGS),
    _from_libc("mount_setattr", FD, PATH, FLAGS, STRUCT, INT),
    # files
    _from_os("open", PATH, FLAGS, MODE),
    _from_libc("openat2", FD, PATH, STRUCT, INT, number=_new(437)),
    _from_os("close", FD),
    _from_os("read", FD, INT),
    _from_os("write", FD, DATA),
    _from_os("dup2", FD, FD),
    _from_libc("close_range", INT, INT, FLAGS, number=_new(436)),
    _from_os("ioctl", FD, NAMED, ARGUMENT, function=fcntl.ioctl),
    _from_os("sendmsg", FD, DATA, IDS, function=_send_descriptors),
    _from_os("getcwd"),
    _from_os("getdents", FD, function=os.listdir),
    _from_os("fstat", FD),
    _from_os("fstatat", FD, PATH, function=_fstatat),
    _from_os("sendfile", FD, FD, INT, function=_sendfile),
    _from_os("access", PATH, INT),
    _from_os("memfd_create", TEXT, INT),
    _from_os("lseek", FD, INT, INT),
    _from_os("poll", FD, INT, function=_poll),
    _from_os("fchown", FD, INT, INT),
    _from_os("mkdir", PATH, MODE),
    _from_os("rmdir", PATH),
    _from_os("mkdirat", FD, PATH, MODE, function=_mkdirat),
    _from_os("mknod", PATH, MODE, INT),
    _from_os("mknodat", FD, PATH, MODE, INT, function=_mknodat),
    _from_os("symlink", PATH, PATH),
    _from_os("symlinkat", PATH, FD, PATH, function=_symlinkat),
    _from_os("readlink", PATH),
    _from_os("readlinkat", FD, PATH, function=_readlinkat),
    _from_os("link", PATH, PATH),
    _from_os("unlink", PATH),
    _from_os("rename", PATH, PATH),
    _from_os("chmod", PATH, MODE),
    _from_os("chown", PATH, INT, INT),
)  # fmt: skip

TABLE: dict[str, Row] = {row.name: row for row in _rows}

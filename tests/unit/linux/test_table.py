"""One row for each system call: how it goes to C, and how it is written."""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Callable

import pytest

from labkit.errors import NoSuchPath
from labkit.linux import CAP, CLONE, MNT, MS, Linux, Recorder
from labkit.linux.flags import FSCONFIG, MOUNT_ATTR, OPEN_TREE, PR, RESOLVE, O
from labkit.linux.privilege_flags import (
    CLOSE_RANGE,
    KEYCTL,
    RLIMIT,
    SECCOMP,
    SECCOMP_FILTER_FLAG,
    TIOC,
)
from labkit.linux.structs import (
    CapabilitySets,
    CloneArgs,
    MountAttributes,
    OpenHow,
    Program,
    SchedulingAttributes,
    rlimit,
)
from labkit.linux.table import TABLE

NO_CAPS = CapabilitySets(frozenset(), frozenset(), frozenset())
ATTRIBUTES = MountAttributes(attr_set=MOUNT_ATTR.RDONLY)

# What is called on `linux`, and the call as one would write it in C.
AS_IN_C: dict[str, tuple[Callable[[Recorder], object], str]] = {
    "unshare": (
        lambda x: x.unshare(CLONE.NEWNS | CLONE.NEWPID),
        "unshare(CLONE_NEWNS|CLONE_NEWPID)",
    ),
    "setns": (lambda x: x.setns(5, CLONE.NEWNET), "setns(5, CLONE_NEWNET)"),
    "clone3": (
        lambda x: x.clone3(CloneArgs(CLONE.NEWPID, 17)),
        "clone3({flags=CLONE_NEWPID, exit_signal=17}, 88)",
    ),
    "prctl": (
        lambda x: x.prctl(PR.SET_NO_NEW_PRIVS, 1),
        "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)",
    ),
    "capget": (lambda x: x.capget(), "capget({version=3, pid=0}, {})"),
    "capset": (
        lambda x: x.capset(NO_CAPS),
        "capset({version=3, pid=0}, "
        "{effective=0 caps, permitted=0 caps, inheritable=0 caps})",
    ),
    "sethostname": (lambda x: x.sethostname("bäx"), 'sethostname("bäx", 4)'),
    "setdomainname": (lambda x: x.setdomainname("lab"), 'setdomainname("lab", 3)'),
    "fork": (lambda x: x.fork(), "fork()"),
    "waitpid": (lambda x: x.waitpid(-1, os.WNOHANG), "waitpid(-1, 1)"),
    "execve": (
        lambda x: x.execve("/bin/ls", ["ls", "-l"], {"A": "b=c"}),
        'execve("/bin/ls", ["ls", "-l"], [1 variables])',
    ),
    "getpid": (lambda x: x.getpid(), "getpid()"),
    "setsid": (lambda x: x.setsid(), "setsid()"),
    "setpgid": (lambda x: x.setpgid(0, 0), "setpgid(0, 0)"),
    "tcsetpgrp": (lambda x: x.tcsetpgrp(0, 7), "tcsetpgrp(0, 7)"),
    "sigprocmask": (
        lambda x: x.sigprocmask(signal.SIG_BLOCK, {1, 2}),
        "sigprocmask(0, {2 signals})",
    ),
    "sigwaitinfo": (lambda x: x.sigwaitinfo({1}), "sigwaitinfo({1 signals})"),
    "kill": (lambda x: x.kill(7, signal.SIGTERM), "kill(7, SIGTERM)"),
    "pidfd_open": (lambda x: x.pidfd_open(7), "pidfd_open(7, 0)"),
    "pidfd_send_signal": (
        lambda x: x.pidfd_send_signal(4, 9),
        "pidfd_send_signal(4, SIGKILL)",
    ),
    "umask": (lambda x: x.umask(0o022), "umask(022)"),
    "setgroups": (lambda x: x.setgroups([1, 2]), "setgroups([1, 2])"),
    "setresuid": (lambda x: x.setresuid(1, 2, 3), "setresuid(1, 2, 3)"),
    "setresgid": (lambda x: x.setresgid(1, 2, 3), "setresgid(1, 2, 3)"),
    "setrlimit": (
        lambda x: x.setrlimit(RLIMIT.NOFILE, 10, 20),
        "setrlimit(RLIMIT_NOFILE, {soft=10, hard=20})",
    ),
    "personality": (lambda x: x.personality(8), "personality(8)"),
    "ioprio_set": (lambda x: x.ioprio_set(3 << 13), "ioprio_set(1, 0, 24576)"),
    "sched_setattr": (
        lambda x: x.sched_setattr(SchedulingAttributes(3, nice=5)),
        "sched_setattr(0, {policy=3, nice=5, priority=0}, 0)",
    ),
    "seccomp": (
        lambda x: x.seccomp(
            SECCOMP.SET_MODE_FILTER, SECCOMP_FILTER_FLAG.LOG, Program(bytes(16))
        ),
        "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, {2 instructions})",
    ),
    "keyctl": (
        lambda x: x.keyctl(KEYCTL.JOIN_SESSION_KEYRING),
        "keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0, 0)",
    ),
    "bpf": (lambda x: x.bpf(5, rlimit(1, 2), "{a program}"), "bpf(5, {a program}, 16)"),
    "mount": (
        lambda x: x.mount(None, "/", None, MS.REC | MS.PRIVATE),
        'mount(NULL, "/", NULL, MS_REC|MS_PRIVATE, NULL)',
    ),
    "umount2": (lambda x: x.umount2("/m", MNT.DETACH), 'umount2("/m", MNT_DETACH)'),
    "pivot_root": (lambda x: x.pivot_root(".", "."), 'pivot_root(".", ".")'),
    "chroot": (lambda x: x.chroot("/box"), 'chroot("/box")'),
    "chdir": (lambda x: x.chdir("a\nb"), 'chdir("a\\nb")'),
    "fchdir": (lambda x: x.fchdir(3), "fchdir(3)"),
    "rtnetlink": (
        lambda x: x.rtnetlink("link set", link="eth0", net_ns_pid=7),
        'rtnetlink("link set", link=eth0, net_ns_pid=INSIDE)',
    ),
    "connect": (lambda x: x.connect("/s"), 'connect("/s")'),
    "open_tree": (
        lambda x: x.open_tree("/m", OPEN_TREE.CLONE),
        'open_tree(AT_FDCWD, "/m", OPEN_TREE_CLONE)',
    ),
    "move_mount": (
        lambda x: x.move_mount(3, "/m"),
        'move_mount(3, "", AT_FDCWD, "/m", MOVE_MOUNT_F_EMPTY_PATH)',
    ),
    "fsopen": (lambda x: x.fsopen("tmpfs"), 'fsopen("tmpfs", 0)'),
    "fsconfig": (
        lambda x: x.fsconfig(3, FSCONFIG.SET_STRING, "size", "1m"),
        'fsconfig(3, FSCONFIG_SET_STRING, "size", "1m", 0)',
    ),
    "fsmount": (lambda x: x.fsmount(3), "fsmount(3, 0, 0)"),
    "mount_setattr": (
        lambda x: x.mount_setattr("/m", ATTRIBUTES, recursive=True),
        'mount_setattr(AT_FDCWD, "/m", AT_RECURSIVE, '
        "{attr_set=MOUNT_ATTR_RDONLY, attr_clr=0, propagation=0}, 32)",
    ),
    "open": (
        lambda x: x.open("/f", O.WRONLY | O.CREAT, 0o600),
        'open("/f", O_WRONLY|O_CREAT, 0600)',
    ),
    "openat2": (
        lambda x: x.openat2(3, "d", OpenHow(O.PATH, resolve=RESOLVE.IN_ROOT)),
        'openat2(3, "d", {flags=O_PATH, resolve=RESOLVE_IN_ROOT}, 24)',
    ),
    "mkdirat": (lambda x: x.mkdirat(3, "d", 0o755), 'mkdirat(3, "d", 0755)'),
    "mknodat": (
        lambda x: x.mknodat(3, "n", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        'mknodat(3, "n", 020666, 259)',
    ),
    "getdents": (lambda x: x.getdents(3), "getdents(3)"),
    "fstat": (lambda x: x.fstat(3), "fstat(3)"),
    "fstatat": (lambda x: x.fstatat(3, "n"), 'fstatat(3, "n")'),
    "sendfile": (lambda x: x.sendfile(4, 3, 9), "sendfile(4, 3, 9)"),
    "symlinkat": (lambda x: x.symlinkat("to", 3, "l"), 'symlinkat("to", 3, "l")'),
    "readlinkat": (lambda x: x.readlinkat(3, "l"), 'readlinkat(3, "l")'),
    "close": (lambda x: x.close(3), "close(3)"),
    "read": (lambda x: x.read(3, 10), "read(3, 10)"),
    "write": (lambda x: x.write(3, b"deny\n"), 'write(3, "deny\\n")'),
    "dup2": (lambda x: x.dup2(3, 1), "dup2(3, 1)"),
    "close_range": (
        lambda x: x.close_range(3, 99, CLOSE_RANGE.CLOEXEC),
        "close_range(3, 99, CLOSE_RANGE_CLOEXEC)",
    ),
    "ioctl": (lambda x: x.ioctl(3, TIOC.SCTTY), "ioctl(3, TIOCSCTTY, 0)"),
    "sendmsg": (lambda x: x.sendmsg(3, b"x", [7]), 'sendmsg(3, "x", [7])'),
    "memfd_create": (lambda x: x.memfd_create("m"), 'memfd_create("m", 1)'),
    "lseek": (lambda x: x.lseek(3, 0), "lseek(3, 0, 0)"),
    "poll": (lambda x: x.poll(3, 10), "poll(3, 10)"),
    "access": (lambda x: x.access("/bin/sh", os.X_OK), 'access("/bin/sh", 1)'),
    "getcwd": (lambda x: x.getcwd(), "getcwd()"),
    "fchown": (lambda x: x.fchown(3, 0, -1), "fchown(3, 0, -1)"),
    "mkdir": (lambda x: x.mkdir("/d", 0o755), 'mkdir("/d", 0755)'),
    "rmdir": (lambda x: x.rmdir("/d"), 'rmdir("/d")'),
    "mknod": (
        lambda x: x.mknod("/n", stat.S_IFCHR | 0o666, os.makedev(1, 3)),
        'mknod("/n", 020666, 259)',
    ),
    "symlink": (lambda x: x.symlink("to", "from"), 'symlink("to", "from")'),
    "readlink": (lambda x: x.readlink("/l"), 'readlink("/l")'),
    "link": (lambda x: x.link("a", "b"), 'link("a", "b")'),
    "unlink": (lambda x: x.unlink("/f"), 'unlink("/f")'),
    "rename": (lambda x: x.rename("a", "b"), 'rename("a", "b")'),
    "chmod": (lambda x: x.chmod("/f", 0o644), 'chmod("/f", 0644)'),
    "chown": (lambda x: x.chown("/f", 0, -1), 'chown("/f", 0, -1)'),
}


@pytest.mark.parametrize("name", AS_IN_C)
def test_a_call_is_written_as_in_c(name: str) -> None:
    make, text = AS_IN_C[name]
    recorder = Recorder()
    make(recorder)
    assert [call.text for call in recorder.calls] == [text]


def test_every_row_that_a_method_uses_is_shown_above() -> None:
    assert set(TABLE) - set(AS_IN_C) == set()


def test_a_long_text_is_cut_and_says_so() -> None:
    recorder = Recorder()
    recorder.chdir("x" * 1000)
    assert recorder.calls[0].text == f'chdir("{"x" * 80}...")'


def test_an_error_has_the_calls_text_and_pythons_class() -> None:
    with pytest.raises(NoSuchPath) as refused:
        Linux().open("/no/such/file")
    assert refused.value.message == 'open("/no/such/file", 0, 0644): ENOENT'
    assert isinstance(refused.value, FileNotFoundError)


def test_a_call_into_libc_reports_its_errno() -> None:
    with pytest.raises(OSError) as refused:
        Linux().umount2("/no/such/mount")
    assert refused.value.errno in (errno.ENOENT, errno.EPERM)


def test_flags_above_bit_31_reach_linux_whole() -> None:
    assert CloneArgs(CLONE.NEWPID, 17, cgroup_fd=5).as_struct().flags >> 32 == 2


def test_capabilities_are_read_and_packed_alike() -> None:
    sets = Linux().capget()
    assert CapabilitySets.from_struct(sets.as_struct()) == sets
    assert all(isinstance(cap, CAP) for cap in sets.effective)

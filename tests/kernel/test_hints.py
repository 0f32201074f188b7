"""Every row of the hints is reached, by a call that really fails if it can."""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from labkit.errors import SyscallError, syscall_error
from labkit.hints import TABLE, Hint
from labkit.host import Host
from labkit.linux import CAP, CLONE, MNT, MS, Linux
from labkit.linux.flags import OPEN_TREE, O
from labkit.linux.privilege_flags import RLIMIT
from labkit.linux.structs import CloneArgs
from labkit.plan import Plan, step
from labkit.primitives.capabilities import SetCapabilities
from labkit.primitives.inside_root import directory_in_root
from labkit.primitives.mount_inside import BindInside, change
from labkit.primitives.mount_options import MountOptions
from labkit.primitives.seccomp import Filter, LoadSeccomp
from labkit.primitives.seccomp_compiler import compiled
from tests.kernel.watching import becomes_true
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
NOBODY = 65534
WRITING = O.WRONLY
CREATING = O.WRONLY | O.CREAT
ERRNO = {name: number for number, name in errno.errorcode.items()}
NO_PID = 4_194_305  # above PID_MAX_LIMIT, include/linux/threads.h


@dataclass(frozen=True)
class Stage:
    """Where a call fails: a directory on the disk, and cgroups of the test's own."""

    path: str
    v1: dict[str, str]  # controller -> an own group in its tree
    v2: str | None  # an own group in the tree of version 2


def becomes_nobody(linux: Linux) -> None:
    """Give up being root."""
    linux.setgroups([])
    linux.setresgid(NOBODY, NOBODY, NOBODY)
    linux.setresuid(NOBODY, NOBODY, NOBODY)


def own_mounts(linux: Linux, stage: Stage) -> None:
    """Get a private mount namespace, with a tmpfs on the stage."""
    linux.unshare(CLONE.NEWNS)
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount("tmpfs", stage.path, "tmpfs")


def unshare_with_threads(linux: Linux, stage: Stage) -> None:
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    linux.unshare(CLONE.NEWUSER)


def unshare_in_a_chroot(linux: Linux, stage: Stage) -> None:
    linux.chroot(stage.path)
    linux.unshare(CLONE.NEWUSER)


def unshare_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.unshare(CLONE.NEWNS)


def unshare_what_is_none(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.PARENT)


def unshare_at_the_limit(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWUSER)
    linux.write_file("/proc/self/uid_map", "0 0 1")
    linux.write_file("/proc/sys/user/max_uts_namespaces", "0")
    linux.unshare(CLONE.NEWUTS)


def clone3_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.clone3(CloneArgs(CLONE.NEWNS, signal.SIGCHLD))


def clone3_of_what_does_not_fit(linux: Linux, stage: Stage) -> None:
    linux.clone3(CloneArgs(CLONE.NEWNS | CLONE.FS, signal.SIGCHLD))


def setns_as_nobody(linux: Linux, stage: Stage) -> None:
    fd = linux.open("/proc/self/ns/uts")
    becomes_nobody(linux)
    linux.setns(fd, CLONE.NEWUTS)


def setns_to_a_file(linux: Linux, stage: Stage) -> None:
    linux.setns(linux.open("/dev/null"), CLONE.NEWUTS)


def seccomp_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    allow_all = compiled(Filter("SCMP_ACT_ALLOW"))
    LoadSeccomp(allow_all).apply(linux)


def rtnetlink_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.rtnetlink("link add", ifname="x0", kind="bridge")


def route_through_a_stranger(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNET)
    linux.rtnetlink("link set", link="lo", state="up")
    linux.rtnetlink("route add", dst="default", gateway="192.0.2.1")


def two_links_of_one_name(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNET)
    for _ in range(2):
        linux.rtnetlink("link add", ifname="x0", kind="bridge")


def link_that_is_not_there(linux: Linux, stage: Stage) -> None:
    linux.rtnetlink("link set", link="nosuchlink0", state="up")


def link_of_an_unknown_kind(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNET)
    linux.rtnetlink("link add", ifname="x0", kind="nosuchkind")


def connect_to_a_dead_socket(linux: Linux, stage: Stage) -> None:
    path = f"{stage.path}/socket"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
    linux.connect(path)


def openat2_through_proc(linux: Linux, stage: Stage) -> None:
    fd = linux.open(stage.path, O.PATH)
    linux.chdir("/")
    directory_in_root(linux, f"/proc/self/fd/{fd}")


def bind_of_what_is_not_there(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.chdir(stage.path)
    BindInside("/no/such", "/data").apply(linux)


def file_on_a_directory(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    tree = linux.open_tree("/dev/null", OPEN_TREE.CLONE)
    linux.move_mount(tree, stage.path)


def attributes_of_a_directory(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNS)
    change(linux, stage.path, MountOptions.of(["ro"]))


def attributes_that_are_locked(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    change(linux, stage.path, MountOptions.of(["ro"]))
    linux.unshare(CLONE.NEWUSER | CLONE.NEWNS)
    change(linux, stage.path, MountOptions.of(["rw"]))


def capset_of_what_nobody_has(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    SetCapabilities(effective=(CAP.CHOWN,), permitted=(CAP.CHOWN,)).apply(linux)


def setrlimit_above_the_hard_limit(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    linux.setrlimit(RLIMIT.NOFILE, 1, hard + 1)


def pivot_root_on_the_root_mount(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNS)
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.pivot_root("/usr", "/usr")


def pivot_root_on_another_mount(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.mkdir(f"{stage.path}/box")
    linux.pivot_root(f"{stage.path}/box", f"{stage.path}/box")


def pivot_root_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.pivot_root("/", "/")


def pivot_root_to_nowhere(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNS)
    linux.pivot_root("/no/such", "/no/such")


def overlay(linux: Linux, stage: Stage, lower: str, work: str) -> None:
    """Mount an overlay on the stage."""
    for name in ("lower", "up", "up/in", "work", "merged"):
        linux.mkdir(f"{stage.path}/{name}")
    layers = {"lowerdir": lower, "upperdir": f"{stage.path}/up", "workdir": work}
    options = ",".join(f"{name}={path}" for name, path in layers.items())
    linux.mount("overlay", f"{stage.path}/merged", "overlay", MS(0), options)


def overlay_of_layers_within_one_another(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    overlay(linux, stage, f"{stage.path}/up/in", f"{stage.path}/work")


def overlay_across_file_systems(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    overlay(linux, stage, f"{stage.path}/lower", "/tmp")


def proc_of_somebody_elses_pids(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWUSER | CLONE.NEWNS)
    linux.mount("proc", stage.path, "proc")


def sysfs_of_somebody_elses_network(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWUSER | CLONE.NEWNS)
    linux.mount("sysfs", stage.path, "sysfs")


def mask_of_nothing(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWNS)
    linux.mount("/dev/null", "/no/such", None, MS.BIND)


def mounts_without_end(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    for name in ("0", *map(str, range(1, 32))):
        linux.mkdir(f"{stage.path}/{name}")
        linux.mount(stage.path, f"{stage.path}/{name}", None, MS.BIND | MS.REC)


def mount_of_an_unknown_type(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.mount("x", stage.path, "nosuchfs")


def mount_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.mount("tmpfs", "/usr", "tmpfs")


def remount_of_a_directory(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.mount(None, "/usr", None, MS.REMOUNT | MS.BIND | MS.RDONLY)


def readonly_while_a_file_is_written(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.open(new_file(linux, stage), WRITING)
    linux.mount(None, stage.path, None, MS.REMOUNT | MS.RDONLY)


def umount_while_a_file_is_open(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.open(new_file(linux, stage))
    linux.umount2(stage.path)


def umount_of_a_directory(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.umount2("/usr", MNT.DETACH)


def chroot_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.chroot("/")


def sethostname_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.sethostname("mine")


def mknod_in_a_user_namespace(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWUSER)
    linux.mknod(f"{stage.path}/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def map_of_anothers_uid(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.unshare(CLONE.NEWUSER)
    dumpable(linux)
    linux.write_file("/proc/self/uid_map", "0 0 1")


def map_of_a_gid_with_setgroups(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.unshare(CLONE.NEWUSER)
    dumpable(linux)
    linux.write_file("/proc/self/gid_map", f"0 {NOBODY} 1")


def map_of_nonsense(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWUSER)
    linux.write_file("/proc/self/uid_map", "nonsense")


def limit_below_the_usage(linux: Linux, stage: Stage) -> None:
    join(linux, stage.v1["memory"])
    touched = bytearray(os.urandom(1)) * (64 << 20)
    linux.write_file(f"{stage.v1['memory']}/memory.limit_in_bytes", "1048576")
    touched.clear()


def join_a_group_with_children(linux: Linux, stage: Stage) -> None:
    hand_down(linux, v2(stage))
    join(linux, v2(stage))


def join_from_a_group_above(linux: Linux, stage: Stage) -> None:
    linux.chown(f"{v2(stage)}/cgroup.procs", NOBODY, NOBODY)
    becomes_nobody(linux)
    join(linux, v2(stage))


def join_below_a_threaded_group(linux: Linux, stage: Stage) -> None:
    for name in ("threaded", "plain"):
        linux.mkdir(f"{v2(stage)}/{name}")
    linux.write_file(f"{v2(stage)}/threaded/cgroup.type", "threaded")
    join(linux, f"{v2(stage)}/plain")


def join_without_a_cpu(linux: Linux, stage: Stage) -> None:
    join(linux, stage.v1["cpuset"])


def join_of_nobody(linux: Linux, stage: Stage) -> None:
    linux.write_file(f"{any_group(stage)}/cgroup.procs", str(NO_PID))


def hand_down_while_full(linux: Linux, stage: Stage) -> None:
    join(linux, v2(stage))
    hand_down(linux, v2(stage))


def hand_down_what_is_not_there(linux: Linux, stage: Stage) -> None:
    # A group has only the controllers that its parent hands down: here none.
    inner = f"{v2(stage)}/inner"
    linux.mkdir(inner)
    try:
        linux.write_file(f"{inner}/cgroup.subtree_control", "+memory")
    finally:
        linux.rmdir(inner)


def limit_of_no_disk(linux: Linux, stage: Stage) -> None:
    path = f"{stage.v1['blkio']}/blkio.throttle.read_bps_device"
    linux.write_file(path, "511:255 1048576")


def a_limit_in_words(linux: Linux, stage: Stage) -> None:
    linux.write_file(f"{stage.v1['pids']}/pids.max", "many")


def limit_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.write_file(f"{any_group(stage)}/cgroup.procs", "0")


def mkdir_of_a_group_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.mkdir(f"{any_group(stage)}/mine")


def limit_that_is_not_there(linux: Linux, stage: Stage) -> None:
    linux.write_file(f"{any_group(stage)}/no.such", "1")


def rmdir_of_a_full_group(linux: Linux, stage: Stage) -> None:
    join(linux, any_group(stage))
    linux.rmdir(any_group(stage))


def execve_of_nothing(linux: Linux, stage: Stage) -> None:
    linux.execve("/no/such", ["x"], {})


def execve_of_a_text(linux: Linux, stage: Stage) -> None:
    linux.execve("/etc/passwd", ["x"], {})


def execve_of_no_program(linux: Linux, stage: Stage) -> None:
    path = new_file(linux, stage)
    linux.write_file(path, "no program")
    linux.chmod(path, 0o755)
    linux.execve(path, ["x"], {})


def fork_at_the_limit(linux: Linux, stage: Stage) -> None:
    linux.write_file(f"{stage.v1['pids']}/pids.max", "1")
    join(linux, stage.v1["pids"])
    linux.fork()


def fork_after_pid_1(linux: Linux, stage: Stage) -> None:
    linux.unshare(CLONE.NEWPID)
    if linux.fork() == 0:
        os._exit(0)
    linux.waitpid(-1)
    linux.fork()


def kill_of_nobody(linux: Linux, stage: Stage) -> None:
    linux.kill(NO_PID, signal.SIGTERM)


def any_call_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.setresuid(0, 0, 0)


def mkdir_as_nobody(linux: Linux, stage: Stage) -> None:
    becomes_nobody(linux)
    linux.mkdir("/usr/mine")


def open_of_nothing(linux: Linux, stage: Stage) -> None:
    linux.open("/no/such")


def open_below_a_file(linux: Linux, stage: Stage) -> None:
    linux.open("/etc/passwd/x")


def mkdir_of_what_is_there(linux: Linux, stage: Stage) -> None:
    linux.mkdir("/usr")


def mkdir_on_a_readonly_mount(linux: Linux, stage: Stage) -> None:
    own_mounts(linux, stage)
    linux.mount(None, stage.path, None, MS.REMOUNT | MS.RDONLY)
    linux.mkdir(f"{stage.path}/d")


def rmdir_of_a_mount_point(linux: Linux, stage: Stage) -> None:
    linux.rmdir("/proc")


def write_to_a_full_disk(linux: Linux, stage: Stage) -> None:
    linux.write_file("/dev/full", "x")


def readlink_of_a_file(linux: Linux, stage: Stage) -> None:
    linux.readlink("/etc/passwd")


def dumpable(linux: Linux) -> None:
    """Get back the right to write one's own files in /proc, lost with the uid."""
    # prctl(2), PR_SET_DUMPABLE is 4: not among the lab's own calls.
    import ctypes

    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)


def new_file(linux: Linux, stage: Stage) -> str:
    """Make an empty file on the stage."""
    linux.close(linux.open(f"{stage.path}/file", CREATING))
    return f"{stage.path}/file"


def join(linux: Linux, group: str) -> None:
    """Move this process into a group."""
    linux.write_file(f"{group}/cgroup.procs", "0")


def hand_down(linux: Linux, group: str) -> None:
    """Have a group hand down every controller that a group with processes can't."""
    for name in linux.read_file(f"{group}/cgroup.controllers").split():
        if name in ("cpu", "cpuset", "perf_event", "pids"):
            continue  # these may stand beside processes: they are "threaded"
        linux.write_file(f"{group}/cgroup.subtree_control", f"+{name}")


def v2(stage: Stage) -> str:
    """Return the group of version 2."""
    assert stage.v2 is not None
    return stage.v2


def any_group(stage: Stage) -> str:
    """Return a group, whatever its version."""
    return stage.v1.get("pids") or v2(stage)


Provoke = Callable[[Linux, Stage], None]
Key = tuple[str, str, str]

PROVOKED: dict[Key, Provoke] = {
    ("unshare", "CLONE_NEWUSER", "EINVAL"): unshare_with_threads,
    ("unshare", "CLONE_NEWUSER", "EPERM"): unshare_in_a_chroot,
    ("unshare", "", "EPERM"): unshare_as_nobody,
    ("unshare", "", "EINVAL"): unshare_what_is_none,
    ("unshare", "", "ENOSPC"): unshare_at_the_limit,
    ("clone3", "", "EPERM"): clone3_as_nobody,
    ("clone3", "", "EINVAL"): clone3_of_what_does_not_fit,
    ("setns", "", "EPERM"): setns_as_nobody,
    ("setns", "", "EINVAL"): setns_to_a_file,
    ("openat2", "RESOLVE_NO_MAGICLINKS", "ELOOP"): openat2_through_proc,
    ("open_tree", "", "ENOENT"): bind_of_what_is_not_there,
    ("move_mount", "", "EINVAL"): file_on_a_directory,
    ("mount_setattr", "", "EINVAL"): attributes_of_a_directory,
    ("mount_setattr", "", "EPERM"): attributes_that_are_locked,
    ("capset", "", "EPERM"): capset_of_what_nobody_has,
    ("setrlimit", "", "EPERM"): setrlimit_above_the_hard_limit,
    ("seccomp", "", "EACCES"): seccomp_as_nobody,
    ("rtnetlink", "", "EPERM"): rtnetlink_as_nobody,
    ("rtnetlink", "route add", "ENETUNREACH"): route_through_a_stranger,
    ("rtnetlink", "", "EEXIST"): two_links_of_one_name,
    ("rtnetlink", "", "ENODEV"): link_that_is_not_there,
    ("rtnetlink", "link add", "EOPNOTSUPP"): link_of_an_unknown_kind,
    ("connect", "", "ECONNREFUSED"): connect_to_a_dead_socket,
    ("pivot_root", "", "EBUSY"): pivot_root_on_the_root_mount,
    ("pivot_root", "", "EINVAL"): pivot_root_on_another_mount,
    ("pivot_root", "", "EPERM"): pivot_root_as_nobody,
    ("pivot_root", "", "ENOENT"): pivot_root_to_nowhere,
    ("mount", '"overlay"', "ELOOP"): overlay_of_layers_within_one_another,
    ("mount", '"overlay"', "EINVAL"): overlay_across_file_systems,
    ("mount", '"proc"', "EPERM"): proc_of_somebody_elses_pids,
    ("mount", '"sysfs"', "EPERM"): sysfs_of_somebody_elses_network,
    ("mount", 'mount("/dev/null"', "ENOENT"): mask_of_nothing,
    ("mount", "", "ENOSPC"): mounts_without_end,
    ("mount", "", "ENODEV"): mount_of_an_unknown_type,
    ("mount", "", "EPERM"): mount_as_nobody,
    ("mount", "", "EINVAL"): remount_of_a_directory,
    ("mount", "", "EBUSY"): readonly_while_a_file_is_written,
    ("umount2", "", "EBUSY"): umount_while_a_file_is_open,
    ("umount2", "", "EINVAL"): umount_of_a_directory,
    ("chroot", "", "EPERM"): chroot_as_nobody,
    ("sethostname", "", "EPERM"): sethostname_as_nobody,
    ("mknod", "", "EPERM"): mknod_in_a_user_namespace,
    ("write", "uid_map", "EPERM"): map_of_anothers_uid,
    ("write", "gid_map", "EPERM"): map_of_a_gid_with_setgroups,
    ("write", "_map", "EINVAL"): map_of_nonsense,
    ("write", "memory.", "EBUSY"): limit_below_the_usage,
    ("write", "cgroup.procs", "EBUSY"): join_a_group_with_children,
    ("write", "cgroup.procs", "EACCES"): join_from_a_group_above,
    ("write", "cgroup.procs", "EOPNOTSUPP"): join_below_a_threaded_group,
    ("write", "cgroup.procs", "ENOSPC"): join_without_a_cpu,
    ("write", "cgroup.procs", "ESRCH"): join_of_nobody,
    ("write", "cgroup.subtree_control", "EBUSY"): hand_down_while_full,
    ("write", "cgroup.subtree_control", "ENOENT"): hand_down_what_is_not_there,
    ("write", "bps", "ENODEV"): limit_of_no_disk,
    ("write", "/sys/fs/cgroup", "EINVAL"): a_limit_in_words,
    ("open", "/sys/fs/cgroup", "EACCES"): limit_as_nobody,
    ("mkdir", "/sys/fs/cgroup", "EACCES"): mkdir_of_a_group_as_nobody,
    ("open", "/sys/fs/cgroup", "ENOENT"): limit_that_is_not_there,
    ("rmdir", "/sys/fs/cgroup", "EBUSY"): rmdir_of_a_full_group,
    ("execve", "", "ENOENT"): execve_of_nothing,
    ("execve", "", "EACCES"): execve_of_a_text,
    ("execve", "", "ENOEXEC"): execve_of_no_program,
    ("fork", "", "EAGAIN"): fork_at_the_limit,
    ("fork", "", "ENOMEM"): fork_after_pid_1,
    ("kill", "", "ESRCH"): kill_of_nobody,
    ("*", "", "EPERM"): any_call_as_nobody,
    ("*", "", "EACCES"): mkdir_as_nobody,
    ("*", "", "ENOENT"): open_of_nothing,
    ("*", "", "ENOTDIR"): open_below_a_file,
    ("*", "", "EEXIST"): mkdir_of_what_is_there,
    ("*", "", "EROFS"): mkdir_on_a_readonly_mount,
    ("*", "", "EBUSY"): rmdir_of_a_mount_point,
    ("*", "", "ENOSPC"): write_to_a_full_disk,
    ("*", "", "EINVAL"): readlink_of_a_file,
}

# Calls that would take another kernel to fail so: as one would write them in C.
ELSEWHERE: dict[Key, str] = {
    ("mount", '"overlay"', "ENODEV"): 'mount("overlay", "/m", "overlay", 0, "...")',
    ("*", "", "ENOSYS"): "mount_setattr(AT_FDCWD, ...)",
}

# What a provocation needs beside root: a tree of version 1, or version 2 as root.
NEEDS_V1: dict[Provoke, str] = {
    limit_below_the_usage: "memory",
    join_without_a_cpu: "cpuset",
    limit_of_no_disk: "blkio",
    a_limit_in_words: "pids",
    fork_at_the_limit: "pids",
}
NEEDS_V2 = (
    join_a_group_with_children,
    join_from_a_group_above,
    join_below_a_threaded_group,
    hand_down_while_full,
    hand_down_what_is_not_there,
)


@pytest.fixture
def stage(host: Host, tmp_path: Path) -> Iterator[Stage]:
    """An own directory, and own cgroups in every tree that root may write."""
    name = f"labkit-hints-{os.getpid()}"
    trees = [row for row in Path("/proc/self/mounts").read_text().splitlines()]
    tops = {row.split()[1]: row.split()[3] for row in trees if " cgroup " in row}
    names = ("memory", "pids", "cpuset", "blkio")
    v1 = {
        n: f"{top}/{name}"
        for top, o in tops.items()
        for n in names
        if n in o.split(",")
    }
    unified = host.cgroups.unified
    v2_group = f"{unified}/{name}" if unified else None
    groups = [*dict.fromkeys(v1.values()), *([v2_group] if v2_group else [])]
    with HandedDown(unified):
        for group in groups:
            os.mkdir(group)
        yield Stage(str(tmp_path), v1, v2_group)
        for group in groups:
            remove(group)


class HandedDown:
    """Controllers that the root didn't hand down before, handed down."""

    def __init__(self, unified: str | None) -> None:
        self.switch = Path(f"{unified}/cgroup.subtree_control") if unified else None
        self.added: list[str] = []

    def __enter__(self) -> None:
        if self.switch is not None:
            here = self.switch.with_name("cgroup.controllers").read_text().split()
            self.added = [one for one in here if one not in self.switch.read_text()]
            self.write("+")

    def __exit__(self, *error: object) -> None:
        self.write("-")

    def write(self, sign: str) -> None:
        """Switch them all."""
        for one in self.added:
            assert self.switch is not None
            self.switch.write_text(f"{sign}{one}")


def remove(group: str) -> None:
    """Remove a group and those in it, when their processes have ended."""
    for path, _, _ in os.walk(group, topdown=False):
        assert becomes_true(partial(is_removed, path))


def is_removed(path: str) -> bool:
    """Try to remove one group; Linux answers EBUSY while somebody is in it."""
    try:
        os.rmdir(path)
    except OSError as busy:
        return busy.errno != errno.EBUSY
    return True


@pytest.mark.parametrize(
    "row", TABLE, ids=lambda row: f"{row.call}-{row.errno}-{row.text}"
)
def test_a_row_is_reached_by_the_call_that_it_is_about(row: Hint, stage: Stage) -> None:
    error = provoked((row.call, row.text, row.errno), stage)
    assert (error.call.partition("(")[0], error.errno_name) == (
        row.call if row.call != "*" else error.call.partition("(")[0],
        row.errno,
    )
    assert (error.meaning, error.hint) == (row.meaning, row.hint)


def provoked(key: Key, stage: Stage) -> SyscallError:
    """Return the error of a failing call; it fails in a child."""
    if key in ELSEWHERE:
        return syscall_error(ELSEWHERE[key], ERRNO[key[2]])
    provoke = PROVOKED[key]
    tree = NEEDS_V1.get(provoke)
    need("cgroup-v1", tree is None or tree in stage.v1, f"no v1 tree for {tree}")
    need("cgroup-v2", provoke not in NEEDS_V2 or stage.v2, "no v2 tree")
    plan = Plan(step(provoke, stage))
    with plan.fork() as child, pytest.raises(SyscallError) as failed:
        child.run()
    return failed.value


def test_every_row_has_its_provocation_and_the_reverse() -> None:
    keys = {(row.call, row.text, row.errno) for row in TABLE}
    assert keys == PROVOKED.keys() | ELSEWHERE.keys()

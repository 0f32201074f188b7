"""A list of system calls becomes a program, and Docker's list is the published one."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import json
import os
import struct
from pathlib import Path

import pytest

from labkit.errors import DocumentError
from labkit.linux.flags import PR
from labkit.linux.syscalls import Linux
from labkit.primitives.capabilities import DOCKER, named
from labkit.primitives.seccomp import CallRule, Condition, Filter, LoadSeccomp
from labkit.primitives.seccomp_compiler import compiled
from labkit.runtime.spec import docker_seccomp as docker
from tests.support.skips import need

MOUNT, UMOUNT2 = (165, 166) if os.uname().machine == "x86_64" else (40, 39)
ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


@pytest.fixture(autouse=True)
def library() -> None:
    need("libseccomp", ctypes.util.find_library("seccomp"), "it isn't installed")


def answers(program: bytes) -> set[int]:
    """Return what a program can answer: the values of its RET instructions."""
    rows = struct.iter_unpack("<HBBI", program)
    return {value for code, _, _, value in rows if code == 0x06}


def test_a_filter_is_bpf_that_ends_in_its_actions() -> None:
    rules = (CallRule(("mkdir",), ERRNO, 28),)
    found = answers(compiled(Filter(ALLOW, rules=rules)))
    assert {0x7FFF0000, 0x00050000 | 28} <= found


def test_what_happens_anyway_and_what_nobody_knows_is_passed_over() -> None:
    plain = compiled(Filter(ALLOW, rules=(CallRule(("mkdir",), ERRNO),)))
    more = (CallRule(("read",), ALLOW), CallRule(("mkdir", "no_such_call"), ERRNO))
    assert compiled(Filter(ALLOW, rules=more)) == plain


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Filter("SCMP_ACT_FUN"), "is no action"),
        (Filter(ALLOW, architectures=("SCMP_ARCH_FUN",)), "is no architecture"),
        (Filter(ALLOW, rules=(CallRule(("mkdir",), ERRNO, 1,
            (Condition(0, "SCMP_CMP_FUN", 1),)),)), "is no operator"),
    ],
)  # fmt: skip
def test_a_word_that_isnt_known_is_refused(rules: Filter, words: str) -> None:
    with pytest.raises(DocumentError, match=words):
        compiled(rules)


def test_a_program_is_kept_by_its_digest(tmp_path: Path) -> None:
    one, two = Filter(ALLOW, rules=(CallRule(("mkdir",), ERRNO),)), Filter(ERRNO)
    first = compiled(one, str(tmp_path))  # type: ignore[arg-type]
    compiled(two, str(tmp_path))  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 2
    (kept,) = [path for path in tmp_path.iterdir() if path.read_bytes() == first]
    kept.write_bytes(b"kept")
    assert compiled(one, str(tmp_path)) == b"kept"  # type: ignore[arg-type]


def test_a_call_that_is_newer_than_the_filter_is_not_there() -> None:
    known = ("read", "write", "exit_group", "futex", "munmap", "mmap", "pidfd_getfd")
    rules = (CallRule(known, ALLOW), CallRule(("umount2",), ERRNO, 28))
    every = ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64")
    strict = LoadSeccomp(compiled(Filter(ERRNO, 13, every, rules)))
    assert refusals(strict, 1000) == errno.ENOSYS
    assert refusals(strict, UMOUNT2) == 28 and refusals(strict, MOUNT) == 13
    # One that lets through what it doesn't know leaves the answer to Linux.
    lenient = compiled(Filter(ALLOW, rules=(CallRule(("mount",), ERRNO),)))
    assert answers(strict.program) - answers(lenient) >= {0x00050000 | errno.ENOSYS}


def refusals(step: LoadSeccomp, number: int) -> int:
    """Return the errno of a call by a process that a filter holds."""
    library = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        linux = Linux(forked=True)
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)
        step.apply(linux)
        library.syscall(number, 0, 0, 0, 0, 0, 0)
        os._exit(ctypes.get_errno())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def names(document: dict[str, object], action: str = ALLOW) -> set[str]:
    rules = document["syscalls"]
    assert isinstance(rules, list)
    return {n for rule in rules if rule["action"] == action for n in rule["names"]}


def test_dockers_list_grows_with_the_capabilities() -> None:
    usual = docker.docker_seccomp(map(str, DOCKER), "x86_64")
    admin = docker.docker_seccomp([*map(str, DOCKER), "CAP_SYS_ADMIN"], "x86_64")
    assert "mount" not in names(usual)
    assert names(admin) - names(usual) >= {"mount", "setns", "unshare", "bpf"}
    assert "clone3" in names(usual, ERRNO)
    assert {"keyctl", "add_key", "io_uring_setup", "userfaultfd"} & names(
        admin
    ) == set()


def test_dockers_list_knows_the_machine() -> None:
    intel = docker.docker_seccomp([], "x86_64")
    arm = docker.docker_seccomp([], "aarch64")
    assert "arch_prctl" in names(intel) - names(arm)
    assert intel["architectures"][0] == "SCMP_ARCH_X86_64"
    assert arm["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]


def test_the_file_of_the_list_names_no_call_twice_in_a_rule() -> None:
    file = Path(docker.__file__).with_suffix(".json")
    for rule in json.loads(file.read_text())["syscalls"]:
        assert len(rule["names"]) == len(set(rule["names"]))


def test_capabilities_are_named_with_and_without_their_prefix() -> None:
    assert named(["CAP_CHOWN", "chown", "KILL"]) == named(["CHOWN", "cap_kill"])
    with pytest.raises(DocumentError, match="is no capability"):
        named(["CAP_FUN"])


def test_this_machine_has_a_name_in_the_list() -> None:
    machine = os.uname().machine
    need("machine", machine in ("x86_64", "aarch64"), f"the list hasn't {machine}")
    assert docker.docker_seccomp([], machine)["architectures"]

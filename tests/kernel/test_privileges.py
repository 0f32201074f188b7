"""What a process gives up before it becomes the program, seen from the host."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from pathlib import Path

import pytest

from labkit.errors import ContainerFailed, LabError, StateError
from labkit.linux import CAP
from labkit.plan import Plan
from labkit.primitives.capabilities import (
    DOCKER,
    DropBounding,
    SetCapabilities,
)
from labkit.primitives.inside_root import MakeDirectoryInside
from labkit.primitives.leftovers import CheckDirectory, CloseOnExec, NewSession
from labkit.primitives.seccomp import LoadSeccomp
from labkit.primitives.user import GiveStdio
from labkit.runtime.spec.docker_seccomp import docker_seccomp
from tests.kernel.bundles import Bundle

IDLE = ("sleep", "100")
IOPRIO_GET = {"x86_64": 252, "aarch64": 31}


def bits(capabilities: tuple[CAP, ...]) -> str:
    return f"{sum(1 << capability for capability in capabilities):016x}"


def ask_for(bundle: Bundle, *capabilities: CAP, ambient: bool = False) -> None:
    names = [str(capability) for capability in capabilities]
    sets = ("bounding", "effective", "permitted", "inheritable")
    bundle.process["capabilities"] = {
        **dict.fromkeys(sets, names),
        "ambient": names if ambient else [],
    }


def test_root_keeps_what_the_bounding_set_has(bundle: Bundle) -> None:
    ask_for(bundle, *DOCKER)
    with bundle.running(*IDLE) as container:
        for name in ("CapBnd", "CapPrm", "CapEff"):
            assert container.status(name) == bits(DOCKER)
        assert container.status("CapAmb") == bits(())


def test_an_ordinary_user_keeps_ambient_capabilities_only(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    ask_for(bundle, CAP.NET_BIND_SERVICE, CAP.CHOWN)
    with bundle.running(*IDLE) as container:
        assert container.status("CapEff") == bits(())
    ask_for(bundle, CAP.NET_BIND_SERVICE, ambient=True)
    with bundle.running(*IDLE) as container:
        assert container.status("CapEff") == bits((CAP.NET_BIND_SERVICE,))
        assert container.status("CapAmb") == bits((CAP.NET_BIND_SERVICE,))


def test_without_a_list_nothing_is_kept(bundle: Bundle) -> None:
    del bundle.process["capabilities"]
    with bundle.running(*IDLE) as container:
        assert container.status("CapBnd") == container.status("CapEff") == bits(())


def test_without_its_steps_root_keeps_everything(bundle: Bundle) -> None:
    bundle.change = lambda plan: plan.without(DropBounding).without(SetCapabilities)
    with bundle.running(*IDLE) as container:
        assert int(container.status("CapEff"), 16) >> CAP.SYS_ADMIN & 1


def test_a_process_is_who_the_spec_says_with_its_limits(bundle: Bundle) -> None:
    hard = min(200, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    bundle.process.update(
        user={"uid": 1000, "gid": 50, "umask": 0o077, "additionalGids": [7, 9]},
        noNewPrivileges=True,
        oomScoreAdj=321,
        rlimits=[
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": hard},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
        ],
    )
    with bundle.running(*IDLE) as container:
        assert container.status("Uid").split() == ["1000"] * 4
        assert container.status("Gid").split() == ["50"] * 4
        assert container.status("Groups").split() == ["7", "9"]
        assert container.status("Umask") == "0077"
        assert container.status("NoNewPrivs") == "1"
        assert container.file("oom_score_adj").strip() == "321"
        limits = container.file("limits")
        assert re.search(rf"Max open files +100 +{hard} ", limits)
        assert re.search(r"Max core file size +0 +0 ", limits)


def test_new_privileges_are_possible_where_the_spec_says_so(bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = False
    with bundle.running(*IDLE) as container:
        assert container.status("NoNewPrivs") == "0"


def test_a_user_can_open_its_own_output(bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.run("sh", "-c", "echo said > /dev/stdout") == "said\n"
    bundle.change = lambda plan: plan.without(GiveStdio)
    assert "denied" in bundle.run("sh", "-c", "echo said > /dev/stdout")


def test_nobody_is_given_dev_null() -> None:
    # To a rehearsal, every descriptor is /dev/null's.
    calls = [call.name for call in Plan(GiveStdio(1000)).rehearse()]
    assert calls == ["fstat"] * 3


def test_a_process_has_its_share_and_its_personality(bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 3}
    bundle.linux["personality"] = {"domain": "LINUX32"}
    with bundle.running(*IDLE) as container:
        assert os.sched_getscheduler(container.pid) == os.SCHED_BATCH
        assert os.getpriority(os.PRIO_PROCESS, container.pid) == 7
        assert int(container.file("personality"), 16) == 8
        libc = ctypes.CDLL(None)
        number = IOPRIO_GET.get(os.uname().machine)
        if number:
            assert libc.syscall(number, 1, container.pid) == 3 << 13 | 3


def test_a_profile_that_isnt_there_is_told(bundle: Bundle) -> None:
    bundle.process["apparmorProfile"] = "no-such-profile"
    with pytest.raises(LabError, match="attr/apparmor/exec"):
        bundle.run("true")


def test_a_filter_refuses_what_it_is_told(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["no_such_call"], "action": "SCMP_ACT_KILL"},
        ],
    }
    assert "No space left" in bundle.run("mkdir", "/new")
    bundle.change = lambda plan: plan.without(LoadSeccomp)
    assert bundle.run("mkdir", "/new") == ""


@pytest.mark.parametrize("nothing_new", [True, False])
def test_dockers_list_is_loaded_with_and_without_new_privileges(
    bundle: Bundle, nothing_new: bool
) -> None:
    bundle.process["noNewPrivileges"] = nothing_new
    ask_for(bundle, *DOCKER)
    names = [str(capability) for capability in DOCKER]
    bundle.linux["seccomp"] = docker_seccomp(names, os.uname().machine)
    with bundle.running(*IDLE) as container:
        assert container.status("Seccomp") == "2"
        said = container.exec("mount", "-t", "tmpfs", "tmpfs", "/etc")
        assert "not permitted" in said or "denied" in said


def test_a_filter_that_was_kept_is_used_again(bundle: Bundle, tmp_path: Path) -> None:
    bundle.situation["kept_programs"] = str(tmp_path / "kept")
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}  # fmt: skip
    first = bundle.plan()
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.stat().st_mode & 0o077 == 0 or kept.parent.stat().st_mode & 0o077 == 0
    assert bundle.plan() == first


def test_the_environment_is_the_specs_alone(bundle: Bundle) -> None:
    bundle.process["env"] = ["PATH=/bin", "A=b=c"]
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    said = bundle.run("env").splitlines()
    assert sorted(said) == ["A=b=c", "HOME=/home/learner", "PATH=/bin"]


def test_no_descriptor_of_ours_reaches_the_program(bundle: Bundle) -> None:
    leaked = os.open("/", os.O_PATH)
    os.set_inheritable(leaked, True)
    try:
        assert str(leaked) not in bundle.run("ls", "/proc/self/fd").split()
        bundle.change = lambda plan: plan.without(CloseOnExec)
        assert str(leaked) in bundle.run("ls", "/proc/self/fd").split()
    finally:
        os.close(leaked)


def test_descriptors_that_were_asked_for_reach_it(bundle: Bundle) -> None:
    given = os.open("/", os.O_PATH)
    os.set_inheritable(given, True)
    bundle.situation["preserve_fds"] = given - 2  # they are counted from 3 on
    try:
        assert str(given) in bundle.run("ls", "/proc/self/fd").split()
    finally:
        os.close(given)


def test_a_working_directory_outside_is_refused(bundle: Bundle) -> None:
    outside = os.open("/", os.O_PATH)
    bundle.process["cwd"] = f"/proc/self/fd/{outside}"
    try:
        with pytest.raises(LabError, match="openat2.*ELOOP"):
            bundle.run("pwd")
        bundle.change = lambda plan: plan.without(MakeDirectoryInside)
        with pytest.raises(StateError, match="leads out of the container"):
            bundle.run("pwd")
        # Without the guards the program stands in the host's root directory.
        guards = (MakeDirectoryInside, CheckDirectory)
        bundle.change = lambda plan: plan.without(guards[0]).without(guards[1])
        assert "rootfs" not in bundle.run("ls", "..")
        assert set(os.listdir("/")) & set(bundle.run("ls", ".").split())
    finally:
        os.close(outside)


def test_it_leads_a_session_of_its_own(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as container:
        assert os.getsid(container.pid) == container.pid
    bundle.change = lambda plan: plan.without(NewSession)
    with bundle.running(*IDLE) as container:
        assert os.getsid(container.pid) == os.getsid(0)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no-such", "executable file not found in $PATH"),
        ("/no/such", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
    ],
)
def test_a_program_that_cant_run_is_refused_before_the_wait(
    bundle: Bundle, program: str, words: str
) -> None:
    with pytest.raises(ContainerFailed) as refused:
        bundle.run(program)
    assert words in str(refused.value)

"""The trials tell what Linux lets this process do, and for which reason it doesn't."""

from __future__ import annotations

import os

import pytest

from labkit.host import Host, Trial, Trials
from labkit.host.trials import Who, attempt
from labkit.linux import CAP, MS, Linux
from tests.kernel.changed_child import in_child
from tests.support.skips import need


@pytest.fixture
def user_namespaces(host: Host) -> None:
    """Only where user namespaces can be made."""
    works = host.trials.works(Trial.USER_NAMESPACE)
    need("namespaces", works, host.trials.failure(Trial.USER_NAMESPACE))


def text_of(trials: Trials) -> str:
    """A line for each trial that was made."""
    return "\n".join(f"{trial}: {failure}" for trial, failure in trials.results)


def test_with_every_privilege_every_trial_is_made(host: Host) -> None:
    need("root", host.privilege.has(CAP.SYS_ADMIN), "CAP_SYS_ADMIN is missing")
    assert {trial for trial, _ in host.trials.results} == set(Trial)


def test_without_privileges_a_user_namespace_comes_first(host: Host) -> None:
    trials = attempt(Who(False, os.geteuid(), os.getegid()))
    assert trials.results[0][0] is Trial.USER_NAMESPACE
    assert Trial.OVERLAY not in dict(trials.results)


@pytest.mark.usefixtures("user_namespaces")
@pytest.mark.parametrize("kind", ["uts", "net", "mnt", "ipc", "pid", "cgroup"])
def test_a_limit_on_namespaces_is_seen(kind: str) -> None:
    def with_a_limit(linux: Linux) -> str:
        linux.write_file(f"/proc/sys/user/max_{kind}_namespaces", "0")
        return text_of(attempt(Who(True, 0, 0)))

    said = in_child(with_a_limit)
    assert said.startswith("namespaces: unshare(")
    assert said.endswith("ENOSPC")


@pytest.mark.usefixtures("user_namespaces")
def test_nothing_is_mounted_when_no_namespace_can_be_made() -> None:
    def with_a_limit(linux: Linux) -> str:
        linux.write_file("/proc/sys/user/max_mnt_namespaces", "0")
        before = linux.read_file("/proc/self/mountinfo")
        attempt(Who(True, 0, 0))
        return str(linux.read_file("/proc/self/mountinfo") == before)

    assert in_child(with_a_limit) == "True"


@pytest.mark.usefixtures("user_namespaces")
def test_a_limit_on_user_namespaces_is_seen() -> None:
    def with_a_limit(linux: Linux) -> str:
        linux.write_file("/proc/sys/user/max_user_namespaces", "0")
        return text_of(attempt(Who(False, 0, 0)))

    assert in_child(with_a_limit) == "a user namespace: unshare(CLONE_NEWUSER): ENOSPC"


@pytest.mark.usefixtures("user_namespaces")
def test_a_masked_proc_forbids_a_new_one_and_nothing_else() -> None:
    # As in a container of Docker's: a tmpfs over a part of /proc.
    def with_a_mask(linux: Linux) -> str:
        linux.mount("tmpfs", "/proc/tty", "tmpfs", MS.RDONLY, None)
        trials = attempt(Who(False, 0, 0))
        failed = [str(trial) for trial, failure in trials.results if failure]
        return f"{failed} {trials.failure(Trial.PROC)}"

    assert in_child(with_a_mask).startswith("['proc'] mount(")

"""Readers of /proc, on a /proc of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import StateError
from labkit.linux import CAP, proc

MOUNTINFO = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /dev rw,nosuid master:2 - devtmpfs udev rw,size=1k
24 22 0:6 /a\040b /mnt/with\040space\134 ro - tmpfs none rw
25 22 0:7 / /u rw unbindable - tmpfs none rw
26 22 0:8 / /both rw shared:3 master:2 - tmpfs none rw
"""
STATUS = "Name:\tbash\nState:\tS (sleeping)\nPid:\t7\nPPid:\t1\nNSpid:\t7\t1\n"
SETS = "CapInh:\t0\nCapPrm:\t3\nCapEff:\t1\nCapBnd:\t8000000003\nCapAmb:\t0\n"


@pytest.fixture
def own_proc(tmp_path: Path) -> str:
    """A /proc with one process."""
    folder = tmp_path / "7"
    folder.mkdir()
    (folder / "mountinfo").write_text(MOUNTINFO)
    (folder / "status").write_text(STATUS + SETS)
    (folder / "cmdline").write_bytes(b"bash\0-c\0true\0")
    (folder / "cgroup").write_text("3:cpu,cpuacct:/a\n2:memory:/b:c\n0::/d\n")
    return str(tmp_path)


def test_mounts_have_their_target_unescaped(own_proc: str) -> None:
    targets = [mount.target for mount in proc.mounts(7, own_proc)]
    assert targets == ["/", "/dev", "/mnt/with space\\", "/u", "/both"]


def test_mounts_say_how_they_propagate(own_proc: str) -> None:
    kinds = [mount.propagation for mount in proc.mounts(7, own_proc)]
    assert kinds == ["shared", "slave", "private", "unbindable", "shared"]


def test_a_mount_says_what_part_of_which_file_system_it_shows(own_proc: str) -> None:
    mount = proc.mounts(7, own_proc)[2]
    assert (mount.root, mount.fstype, mount.options) == ("/a b", "tmpfs", ("ro",))
    assert repr(mount) == "Mount(tmpfs on /mnt/with space\\, private)"


def test_a_process_has_a_pid_in_each_namespace(own_proc: str) -> None:
    bash = proc.process(7, own_proc)
    assert (bash.pid, bash.parent, bash.pids) == (7, 1, (7, 1))
    assert bash.argv == ("bash", "-c", "true")
    assert repr(bash) == "Process(bash, alive)"


def test_a_kernel_thread_has_no_words(own_proc: str) -> None:
    Path(own_proc, "7", "cmdline").write_bytes(b"")
    assert proc.process(7, own_proc).argv == ()


def test_cgroups_are_named_by_controller(own_proc: str) -> None:
    assert proc.cgroups_of(7, own_proc) == {
        "cpu": "/a",
        "cpuacct": "/a",
        "memory": "/b:c",
        "": "/d",
    }


def test_each_set_of_capabilities_is_read_bit_by_bit(own_proc: str) -> None:
    assert proc.capabilities_of(7, own_proc) == {
        "effective": {CAP.CHOWN},
        "permitted": {CAP.CHOWN, CAP.DAC_OVERRIDE},
        "inheritable": frozenset(),
        "bounding": {CAP.CHOWN, CAP.DAC_OVERRIDE, CAP.BPF},
        "ambient": frozenset(),
    }


def test_a_process_that_has_ended_is_told_without_its_number(own_proc: str) -> None:
    with pytest.raises(StateError, match="the process whose status was asked for"):
        proc.process(8, own_proc)


def test_a_childs_end_between_listing_and_reading_is_no_error(own_proc: str) -> None:
    task = Path(own_proc, "7", "task", "7")
    task.mkdir(parents=True)
    (task / "children").write_text("7 8 ")
    assert [one.pid for one in proc.children(7, own_proc)] == [7]

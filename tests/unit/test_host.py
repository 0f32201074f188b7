"""The probe: what it reads from which files, on machines of every kind."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from labkit.errors import HostError
from labkit.host import Host, Layout, Place, Privilege, Trial, Trials, probe
from labkit.host.cgroup_layout import read_layout
from labkit.host.elf import is_static, loader
from labkit.host.places import filesystem_type, read_state_place
from labkit.host.probing import read_host, read_privilege
from labkit.host.surroundings import read_distribution, read_place, read_swap_bytes
from labkit.linux.flags import CAP, NamespaceType
from labkit.linux.views import HostPath
from tests.unit.machines import machine, unified, version_1

USER = Privilege(root=False)
ROOT = Privilege(root=True, capabilities=frozenset(CAP))
SCOPE = "/user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope"


def path_of(root: Path, name: str = "") -> HostPath:
    """A path of a fixture, as the host sees it."""
    return HostPath(str(root / name) if name else str(root))


# cgroup layouts


def test_unified_is_one_tree_for_all_controllers(tmp_path: Path) -> None:
    root = unified(tmp_path, "/", "cpuset cpu io memory pids")
    layout = read_layout(path_of(root), privileged=True)
    versions = {one.name: one.version for one in layout.controllers}
    assert layout.layout is Layout.UNIFIED
    assert versions == dict.fromkeys(
        ("cpuset", "cpu", "io", "memory", "pids", "freezer"), 2
    )


def test_legacy_is_a_tree_for_each_controller(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    layout = read_layout(path_of(root), privileged=True)
    memory = layout.controller("memory")
    assert layout.layout is Layout.LEGACY
    assert memory is not None
    assert memory.version == 1
    assert memory.parent == path_of(root, "sys/fs/cgroup/memory")


def test_hybrid_has_controllers_in_both_versions(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=True)
    layout = read_layout(path_of(root), privileged=True)
    versions = {one.name: one.version for one in layout.controllers}
    assert layout.layout is Layout.HYBRID
    assert versions["memory"] == 1
    assert versions["pids"] == 2
    assert layout.unified == path_of(root, "sys/fs/cgroup/unified")


def test_a_tree_that_lies_below_another_mount_is_passed_over(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=True)
    shutil.rmtree(root / "sys/fs/cgroup/unified")
    layout = read_layout(path_of(root), privileged=True)
    assert layout.layout is Layout.LEGACY and layout.unified is None


def test_what_both_versions_have_is_taken_from_version_1(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=True)
    layout = read_layout(path_of(root), privileged=True)
    assert [o.version for o in layout.controllers if o.name == "freezer"] == [1]


def test_two_controllers_may_share_one_tree(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    layout = read_layout(path_of(root), privileged=True)
    cpu, cpuacct = layout.controller("cpu"), layout.controller("cpuacct")
    assert cpu is not None
    assert cpuacct is not None
    assert cpu.parent == cpuacct.parent == path_of(root, "sys/fs/cgroup/cpu,cpuacct")


def test_version_1_calls_io_blkio_and_the_lab_io(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    layout = read_layout(path_of(root), privileged=True)
    assert layout.controller("io") is not None
    assert layout.controller("blkio") is None


def test_a_named_tree_limits_nothing(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    layout = read_layout(path_of(root), privileged=True)
    assert not [one for one in layout.controllers if "systemd" in one.name]


def test_a_user_makes_cgroups_below_the_own_one(tmp_path: Path) -> None:
    root = unified(tmp_path, SCOPE, "memory pids")
    layout = read_layout(path_of(root), privileged=False)
    memory = layout.controller("memory")
    assert memory is not None
    assert memory.parent == path_of(root, f"sys/fs/cgroup{SCOPE}")


def test_what_was_not_delegated_is_known_and_not_usable(tmp_path: Path) -> None:
    root = unified(tmp_path, SCOPE, "memory pids")
    layout = read_layout(path_of(root), privileged=False)
    assert layout.usable("memory")
    assert not layout.usable("cpu")
    assert layout.known("cpu")


def test_a_cgroup_that_holds_processes_is_crowded(tmp_path: Path) -> None:
    root = unified(tmp_path, SCOPE, "memory pids")
    assert read_layout(path_of(root), privileged=False).crowded
    assert not read_layout(path_of(root), privileged=True).crowded


def test_a_container_sees_only_its_part_of_the_tree(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    shown = "32 30 0:28 /docker/f00 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    (root / "proc/self/mountinfo").write_text(shown + "\n")
    (root / "proc/self/cgroup").write_text("4:memory:/docker/f00/ours\n")
    memory = read_layout(path_of(root), privileged=False).controller("memory")
    assert memory is not None
    assert memory.parent == path_of(root, "sys/fs/cgroup/memory/ours")


def test_a_cgroup_outside_the_shown_part_is_nobodys(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    shown = "32 30 0:28 /docker/f00 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    (root / "proc/self/mountinfo").write_text(shown + "\n")
    assert not read_layout(path_of(root), privileged=False).usable("memory")


def test_a_machine_without_cgroups_has_none(tmp_path: Path) -> None:
    layout = read_layout(path_of(machine(tmp_path, {})), privileged=True)
    assert layout.layout is Layout.NONE
    assert layout.controllers == ()


def test_a_controller_switched_off_at_boot_is_not_known(tmp_path: Path) -> None:
    root = version_1(tmp_path, beside_unified=False)
    off = (
        (root / "proc/cgroups")
        .read_text()
        .replace("memory\t0\t1\t1", "memory\t0\t1\t0")
    )
    (root / "proc/cgroups").write_text(off)
    assert not read_layout(path_of(root), privileged=True).known("memory")


def test_the_layout_names_the_version_that_limits_memory(tmp_path: Path) -> None:
    hybrid = version_1(tmp_path / "hybrid", beside_unified=True)
    pure = unified(tmp_path / "unified", "/", "memory")
    assert str(read_layout(path_of(hybrid), privileged=True)) == "cgroup v1 (hybrid)"
    assert str(read_layout(path_of(pure), privileged=True)) == "cgroup v2"


# privilege


def test_capabilities_are_read_from_the_effective_set(tmp_path: Path) -> None:
    only_chroot = f"CapEff:\t{1 << CAP.SYS_CHROOT:016x}\nNoNewPrivs:\t1\n"
    root = machine(tmp_path, {"proc/self/status": only_chroot})
    privilege = read_privilege(path_of(root), root_user=True)
    assert privilege.has(CAP.SYS_CHROOT)
    assert not privilege.has(CAP.SYS_CHROOT, CAP.SYS_ADMIN)
    assert privilege.no_new_privs


def test_nobody_lacks_what_this_linux_does_not_know(tmp_path: Path) -> None:
    last = {"proc/sys/kernel/cap_last_cap": f"{int(CAP.AUDIT_READ)}\n"}
    privilege = read_privilege(path_of(machine(tmp_path, last)), root_user=False)
    assert CAP.AUDIT_READ in privilege.lacks
    assert CAP.BPF not in privilege.lacks


def test_another_namespace_than_the_first_is_noticed(tmp_path: Path) -> None:
    links = machine(tmp_path, {}) / "proc/self/ns"
    links.mkdir()
    (links / "user").symlink_to("user:[4026532201]")
    (links / "uts").symlink_to("uts:[4026531838]")
    privilege = read_privilege(path_of(tmp_path), root_user=True)
    assert privilege.inner == {NamespaceType.USER}
    assert str(privilege) == "root in a user namespace"


# surroundings


def test_switches_that_a_distribution_lacks_are_none(tmp_path: Path) -> None:
    limit = {"proc/sys/user/max_user_namespaces": "0\n"}
    host = read_host(path_of(machine(tmp_path, limit)), USER, 1000, {})
    assert host.user_namespaces.limit == 0
    assert host.user_namespaces.unprivileged_clone is None


def test_a_distributions_switch_is_read(tmp_path: Path) -> None:
    name = "proc/sys/kernel/apparmor_restrict_unprivileged_userns"
    host = read_host(path_of(machine(tmp_path, {name: "1\n"})), USER, 1000, {})
    assert host.user_namespaces.apparmor_restricts is True


def test_ranges_are_found_by_name_and_by_number(tmp_path: Path) -> None:
    files = {
        "etc/passwd": "ada:x:1000:1000::/home/ada:/bin/sh\n",
        "etc/subuid": "ada:100000:65536\nbob:165536:65536\n1000:300000:10\n",
    }
    host = read_host(path_of(machine(tmp_path, files)), USER, 1000, {})
    ranges = [(one.first, one.count) for one in host.subordinate_uids]
    assert ranges == [(100000, 65536), (300000, 10)]
    assert host.subordinate_gids == ()


def test_swap_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    rows = "Filename Type Size Used Priority\n/a file 8 0 -1\n/b partition 2 0 -2\n"
    root = machine(tmp_path, {"proc/swaps": rows})
    assert read_swap_bytes(path_of(root)) == 10 * 1024


def test_a_derived_distribution_installs_as_its_parent_does(tmp_path: Path) -> None:
    text = 'ID=linuxmint\nVERSION_ID="22"\nID_LIKE="ubuntu debian"\n'
    distribution = read_distribution(
        path_of(machine(tmp_path, {"etc/os-release": text}))
    )
    assert str(distribution) == "linuxmint 22"
    assert distribution.install_busybox == "sudo apt-get install busybox-static"


def test_a_mark_alone_makes_no_container(tmp_path: Path) -> None:
    root = path_of(machine(tmp_path, {".dockerenv": ""}))
    assert read_place(root, {}, "6.1", contained=False).container == ""
    assert read_place(root, {}, "6.1", contained=True).container == "docker"


def test_binder_is_known_by_its_variables(tmp_path: Path) -> None:
    environ = {"BINDER_LAUNCH_HOST": "https://mybinder.org/"}
    place = read_place(path_of(machine(tmp_path, {})), environ, "6.1", contained=True)
    assert str(place) == "on Binder, in a container (unknown)"


def test_a_virtual_machine_is_known_by_its_processor(tmp_path: Path) -> None:
    root = machine(tmp_path, {"proc/cpuinfo": "flags\t\t: fpu hypervisor\n"})
    place = read_place(path_of(root), {}, "6.1", contained=False)
    assert place == Place(virtual_machine=True)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"LABKIT_STATE": "/data/lab"}, "/data/lab"),
        ({"XDG_STATE_HOME": "/xdg"}, "/xdg/labkit"),
        ({"XDG_STATE_HOME": "relative"}, os.path.expanduser("~/.local/state/labkit")),
    ],
)
def test_the_state_of_a_user_is_where_xdg_says(
    environ: dict[str, str], expected: str
) -> None:
    assert read_state_place(environ, root_user=False).path == expected


def test_the_state_of_root_is_the_systems() -> None:
    assert read_state_place({"XDG_STATE_HOME": "/x"}, root_user=True).path == (
        "/var/lib/labkit"
    )


def test_the_nearest_mount_says_which_filesystem_it_is(tmp_path: Path) -> None:
    lines = "1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /var rw - ext4 /dev/x rw\n"
    proc = str(machine(tmp_path, {"proc/self/mountinfo": lines}) / "proc")
    assert filesystem_type(HostPath("/var/lib/labkit"), proc) == "ext4"
    assert filesystem_type(HostPath("/variable"), proc) == "overlay"


# programs


def test_a_program_with_a_loader_is_not_static() -> None:
    shell = HostPath(os.path.realpath("/bin/sh"))
    wanted = loader(shell)
    assert wanted is not None
    assert os.path.exists(wanted)
    assert not is_static(shell)


def test_a_script_is_no_program(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    assert not is_static(path_of(script))
    with pytest.raises(ValueError, match="no ELF program"):
        loader(path_of(script))


# this machine


def test_two_probes_of_one_machine_are_equal(host: Host) -> None:
    assert probe() == host


def test_a_probe_changes_no_namespace_and_no_mount() -> None:
    def seen() -> tuple[dict[str, str], str]:
        links = {
            n: os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")
        }
        return links, Path("/proc/self/mountinfo").read_text()

    before = seen()
    probe()
    assert seen() == before


def test_a_probe_leaves_no_child_and_no_descriptor() -> None:
    before = os.listdir("/proc/self/fd")
    probe()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_probe_outside_the_main_thread_is_refused() -> None:
    raised: list[HostError] = []

    def in_a_thread() -> None:
        try:
            probe()
        except HostError as error:
            raised.append(error)

    thread = threading.Thread(target=in_a_thread)
    thread.start()
    thread.join()
    assert "main thread" in str(raised[0])


def test_a_trial_that_was_not_reached_has_the_reason_of_the_first() -> None:
    trials = Trials(((Trial.NAMESPACES, "unshare(CLONE_NEWNS): EPERM"),))
    assert not trials.works(Trial.PROC)
    assert trials.failure(Trial.PROC) == "unshare(CLONE_NEWNS): EPERM"


def test_a_hosts_repr_has_no_number_that_changes() -> None:
    assert repr(Host("6.18.44-fc", ROOT)) == "<Host: root on Linux 6.18, no cgroups>"


def test_releases_are_compared_by_their_numbers() -> None:
    assert Host("6.1.0-9-amd64", USER).linux_at_least(5, 11)
    assert not Host("5.4.0", USER).linux_at_least(5, 11)

"""Mounts and devices that config.json lists, in a root that isn't ours yet."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import LabError, StateError
from labkit.linux import proc
from labkit.plan import Plan, Step
from labkit.primitives.mount_inside import BindInside, MountInside
from tests.kernel.bundles import Bundle, Container
from tests.kernel.watching import becomes_true

IDLE = ("sleep", "100")


def mount_of(container: Container, target: str) -> proc.Mount:
    """Return the mount that lies on top at a place."""
    return [m for m in proc.mounts(container.pid) if m.target == target][-1]


@pytest.fixture
def source(bundle: Bundle) -> Iterator[Path]:
    """A directory of the host's, with a file and a mount below it."""
    folder = bundle.path / "source"
    (folder / "below").mkdir(parents=True)
    (folder / "file").write_text("content")
    os.system(f"mount -t tmpfs tmpfs {folder}/below")
    yield folder
    os.system(f"umount {folder}/below")


def bind(bundle: Bundle, source: Path, target: str, *options: str) -> None:
    mount = {"destination": target, "type": "bind", "source": str(source)}
    bundle.document["mounts"].append({**mount, "options": list(options)})


def test_the_usual_file_systems_are_there(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as container:
        for target, fstype in (
            ("/proc", "proc"), ("/dev", "tmpfs"), ("/dev/pts", "devpts"),
            ("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue"), ("/sys", "sysfs"),
        ):  # fmt: skip
            assert mount_of(container, target).fstype == fstype
        assert {"ro", "nosuid", "nodev", "noexec"} <= {
            *mount_of(container, "/sys").options
        }


def test_nothing_of_the_hosts_is_mounted_in_it(bundle: Bundle) -> None:
    inside = bundle.run("mount")
    assert str(bundle.path) not in inside
    assert len(inside.splitlines()) < 60


def test_a_target_that_is_missing_is_made(bundle: Bundle, source: Path) -> None:
    bind(bundle, source, "/deep/er/data", "rbind")
    bind(bundle, source / "file", "/deep/file", "bind")
    assert bundle.run("cat", "/deep/er/data/file") == "content"
    assert bundle.run("cat", "/deep/file") == "content"


def test_readonly_reaches_as_far_as_the_option_says(
    bundle: Bundle, source: Path
) -> None:
    reach = {"rw": ("rw", "rw"), "ro": ("ro", "rw"), "rro": ("ro", "ro")}
    for option in reach:
        bind(bundle, source, f"/{option}", "rbind", option)
    with bundle.running(*IDLE) as container:
        for option, (top, below) in reach.items():
            assert top in mount_of(container, f"/{option}").options
            assert below in mount_of(container, f"/{option}/below").options


def test_a_bind_without_r_leaves_the_mounts_below_out(
    bundle: Bundle, source: Path
) -> None:
    bind(bundle, source, "/data", "bind")
    with bundle.running(*IDLE) as container:
        assert "/data/below" not in {m.target for m in proc.mounts(container.pid)}


def test_a_bind_propagates_as_it_is_told(bundle: Bundle, source: Path) -> None:
    words = ("private", "slave", "shared", "unbindable")
    os.system(f"mount --bind {source} {source} && mount --make-shared {source}")
    try:
        for word in words:
            bind(bundle, source, f"/{word}", "bind", word)
        with bundle.running(*IDLE) as container:
            for word in words:
                assert mount_of(container, f"/{word}").propagation == word
    finally:
        os.system(f"umount {source}")


def test_a_shared_volume_shows_the_host_what_is_mounted_in_it(
    bundle: Bundle, source: Path
) -> None:
    os.system(f"mount --bind {source} {source} && mount --make-shared {source}")
    before = {mount.target for mount in proc.mounts()}
    try:
        bundle.linux["rootfsPropagation"] = "rshared"
        bind(bundle, source, "/data", "rbind", "rshared")
        names = dict.fromkeys(("bounding", "effective", "permitted"), ["CAP_SYS_ADMIN"])
        bundle.process["capabilities"] = names
        words = "mkdir /data/new && mount -t tmpfs tmpfs /data/new && sleep 100"
        with bundle.running("sh", "-c", words):
            seen = f"{source}/new"
            assert becomes_true(lambda: seen in {m.target for m in proc.mounts()})
            assert {m.target for m in proc.mounts()} - before == {seen}
        assert {m.target for m in proc.mounts()} >= before  # none of the host's is gone
    finally:
        os.system(f"umount {source}/new; umount {source}")


def test_files_have_other_owners_through_a_mount_with_an_id_map(
    bundle: Bundle, source: Path
) -> None:
    (source / "root").write_text("")
    (source / "user").write_text("")
    os.chown(source / "user", 7, 8)
    rows = [{"containerID": 0, "hostID": 5000, "size": 100}]
    bind(bundle, source, "/data", "bind", "idmap")
    bundle.document["mounts"][-1].update(uidMappings=rows, gidMappings=rows)
    with bundle.running(*IDLE) as container:
        owners = {
            name: (about.st_uid, about.st_gid)
            for name in ("root", "user")
            for about in [container.root(f"/data/{name}").stat()]
        }
        assert owners == {"root": (5000, 5000), "user": (5007, 5008)}
    assert (source / "user").stat().st_uid == 7


def test_options_of_the_file_system_go_to_it(bundle: Bundle) -> None:
    bundle.document["mounts"].append(
        {
            "destination": "/scratch", "type": "tmpfs", "source": "tmpfs",
            "options": ["size=64k", "mode=1770", "noexec", "noatime"],
        }
    )  # fmt: skip
    with bundle.running(*IDLE) as container:
        mount = mount_of(container, "/scratch")
        assert {"noexec", "noatime"} <= {*mount.options}
        assert "size=64k" in mount.super_options


def test_a_tmpfs_can_begin_with_what_it_hides(bundle: Bundle) -> None:
    there = bundle.path / "rootfs" / "run" / "service"
    there.mkdir(parents=True)
    (there / "file").write_text("content")
    os.chown(there / "file", 7, 8)
    (there / "file").chmod(0o4640)
    (there / "link").symlink_to("/etc/passwd")
    os.mkfifo(there / "fifo")
    mount = {"destination": "/run", "type": "tmpfs", "source": "tmpfs"}
    bundle.document["mounts"].append({**mount, "options": ["tmpcopyup", "mode=755"]})
    with bundle.running(*IDLE) as container:
        assert mount_of(container, "/run").fstype == "tmpfs"
        file = container.root("/run/service/file")
        about = file.stat()
        assert file.read_text() == "content"
        assert (about.st_mode & 0o7777, about.st_uid, about.st_gid) == (0o4640, 7, 8)
        assert os.readlink(container.root("/run/service/link")) == "/etc/passwd"
        assert container.root("/run/service/fifo").is_fifo()


def test_a_tmpfs_has_the_permissions_of_the_directory_below_it(bundle: Bundle) -> None:
    there = bundle.path / "rootfs" / "cache"
    there.mkdir()
    there.chmod(0o1735)
    bundle.document["mounts"].append({"destination": "/cache", "type": "tmpfs"})
    assert bundle.run("stat", "-c", "%a", "/cache") == "1735\n"


def test_a_link_in_the_image_leads_to_no_place_of_the_hosts(
    bundle: Bundle, source: Path
) -> None:
    outside = bundle.path / "outside"
    outside.mkdir()
    (bundle.path / "rootfs" / "data").symlink_to(outside)
    bind(bundle, source, "/data", "rbind")
    with bundle.running(*IDLE) as container:
        assert container.root(f"{outside}/file").read_text() == "content"
        assert mount_of(container, str(outside)).fstype
    # Without the guard the mount goes where the link leads us, who still see the host.
    bundle.change = followed
    with bundle.running(*IDLE) as container:
        assert str(outside) not in {m.target for m in proc.mounts(container.pid)}


def followed(plan: Plan) -> Plan:
    """Return the plan with links followed out of the root."""
    return Plan(*(unguarded(step) for step in plan))


def unguarded(step: Step) -> Step:
    if isinstance(step, BindInside):
        return BindInside(step.source, step.target, step.options, in_root=False)
    return step


def test_a_link_with_dots_stays_inside(bundle: Bundle, source: Path) -> None:
    (bundle.path / "rootfs" / "up").symlink_to("../../../../../../../..")
    bind(bundle, source, "/up/data", "rbind")
    with bundle.running(*IDLE) as container:
        assert container.root("/data/file").read_text() == "content"
    assert not Path("/data").exists()


def test_a_dangling_link_is_made_to_lead_somewhere(
    bundle: Bundle, source: Path
) -> None:
    (bundle.path / "rootfs" / "var").symlink_to("/later/var")
    bind(bundle, source, "/var/data", "rbind")
    assert bundle.run("cat", "/later/var/data/file") == "content"


def test_devices_and_links_are_as_the_specification_says(bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o640,
         "uid": 7, "gid": 8},
        {"path": "/dev/a/fifo", "type": "p"},
    ]  # fmt: skip
    with bundle.running(*IDLE) as container:
        for name, numbers in (("null", (1, 3)), ("urandom", (1, 9)), ("tty", (5, 0))):
            found = container.root(f"/dev/{name}").stat()
            assert stat.S_ISCHR(found.st_mode)
            assert (os.major(found.st_rdev), os.minor(found.st_rdev)) == numbers
            assert stat.S_IMODE(found.st_mode) == 0o666
        mine = container.root("/dev/mine").stat()
        assert (stat.S_IMODE(mine.st_mode), mine.st_uid, mine.st_gid) == (0o640, 7, 8)
        assert container.root("/dev/a/fifo").is_fifo()
        assert os.readlink(container.root("/dev/fd")) == "/proc/self/fd"
        assert os.readlink(container.root("/dev/ptmx")) == "pts/ptmx"


def test_a_readonly_root_refuses_and_its_volumes_do_not(
    bundle: Bundle, source: Path
) -> None:
    bundle.document["root"]["readonly"] = True
    bind(bundle, source, "/data", "rbind")
    assert "Read-only file system" in bundle.run("touch", "/new")
    assert bundle.run("touch", "/data/new") == ""


def test_a_readonly_dev_has_its_devices(bundle: Bundle) -> None:
    for mount in bundle.document["mounts"]:
        if mount["destination"] == "/dev":
            mount["options"].append("ro")
    assert "Read-only file system" in bundle.run("touch", "/dev/new")
    assert bundle.run("cat", "/dev/null") == ""


def test_hidden_paths_are_empty_and_protected_ones_refuse(bundle: Bundle) -> None:
    (bundle.path / "rootfs" / "secret").write_text("secret")
    (bundle.path / "rootfs" / "tool").symlink_to("/bin/busybox")
    bundle.linux["maskedPaths"] = ["/secret", "/proc/acpi", "/no/such"]
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/bin", "/no/such"]
    assert bundle.run("cat", "/secret") == ""
    assert bundle.run("ls", "/proc/acpi") == ""
    assert "ead-only" in bundle.run("sh", "-c", "echo x > /proc/sys/kernel/hostname")
    assert "ead-only" in bundle.run("touch", "/bin/new")  # and its programs still run


def test_an_image_cant_choose_what_hides_a_path(bundle: Bundle) -> None:
    (bundle.path / "rootfs" / "secret").write_text("secret")
    (bundle.path / "rootfs" / "dev").mkdir()
    (bundle.path / "rootfs" / "dev" / "null").symlink_to(
        "/proc/sys/kernel/core_pattern"
    )
    mounts = bundle.document["mounts"]
    bundle.document["mounts"] = [m for m in mounts if m["destination"] == "/proc"]
    bundle.linux["maskedPaths"] = ["/secret"]
    with pytest.raises(StateError, match="/dev/null: is something else"):
        bundle.run("cat", "/secret")


def test_the_root_moves_where_pivot_root_cant_be(bundle: Bundle) -> None:
    bundle.situation["pivot"] = False
    assert sorted(bundle.run("ls", "/").split()) == ["bin", "dev", "etc", "proc", "sys"]


def test_a_mount_that_cant_be_is_told_with_its_call(bundle: Bundle) -> None:
    bundle.document["mounts"].append({"destination": "/x", "type": "nosuchfs"})
    with pytest.raises(LabError, match="nosuchfs.*ENODEV"):
        bundle.run("true")


def test_every_mount_of_the_plan_is_one_step(bundle: Bundle) -> None:
    mounted = [step for step in bundle.plan() if isinstance(step, MountInside)]
    assert {"/proc", "/dev", "/sys"} <= {step.target for step in mounted}

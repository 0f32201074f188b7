"""Containers side by side: what each sees, may take, and changes, as Linux says.

The files read here are the kernel's own, through the host's /proc and /sys: nothing of
what a container says about itself.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Container, Plan, container
from labkit.errors import DocumentError, HostError, StateError
from labkit.linux import HostPid
from labkit.plan import handle
from labkit.primitives.cgroups import Cgroup
from labkit.primitives.root import PivotRoot, escape
from labkit.rootfs import rootfs
from tests.kernel.ordinary_user import as_ordinary_user
from tests.kernel.watching import becomes_true, is_gone
from tests.support.skips import need

pytestmark = pytest.mark.usefixtures("as_root")
KINDS = ("mnt", "pid", "net", "uts", "ipc", "cgroup")
MIB = 1024 * 1024
Pair = tuple[Container, Container]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    names = ("left", "right")
    left, right = (container(n, memory="64M", cpu=0.5, pids=24) for n in names)
    with left, right:
        left.start()
        right.start()
        yield left, right


@pytest.fixture
def limits(pair: Pair) -> Cgroup:
    group = pair[0].cgroup
    need("cgroups", isinstance(group, Cgroup), "this user may make no cgroup")
    assert isinstance(group, Cgroup)
    return group


def read(pid: HostPid | int | str, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def numbers(pid: HostPid) -> list[str]:
    """The process's numbers, the host's first: NSpid of /proc/PID/status."""
    status = dict(row.split(":\t", 1) for row in read(pid, "status").splitlines())
    return status["NSpid"].split()


def namespaces(pid: HostPid | str) -> dict[str, str]:
    return {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in KINDS}


def mounts(pid: HostPid | str) -> list[list[str]]:
    """mountinfo in words: 0 is the mount's id, 2 the device, 4 the mount point."""
    return [line.split() for line in read(pid, "mountinfo").splitlines()]


def fstype(row: list[str]) -> str:
    return row[row.index("-") + 1]


def root_of(box: Container) -> Path:
    return Path(f"/proc/{box.pid}/root")


def devices(pid: HostPid | str) -> set[str]:
    rows = read(pid, "net/dev").splitlines()[2:]
    return {row.partition(":")[0].strip() for row in rows}


def test_each_is_process_1_of_its_own_world(pair: Pair) -> None:
    for box in pair:
        assert numbers(box.pid) == [str(box.pid), "1"]
        assert read(box.pid, "cmdline").split("\0")[0] == "sleep"


def test_each_has_namespaces_that_nobody_else_has(pair: Pair) -> None:
    one, other, host = (namespaces(pid) for pid in (pair[0].pid, pair[1].pid, "self"))
    for kind in KINDS:
        assert len({one[kind], other[kind], host[kind]}) == 3, kind


def test_neither_sees_a_process_of_the_host_or_of_its_neighbour(pair: Pair) -> None:
    """The proc file system in the container's root has one process: its own."""
    for box in pair:
        seen = [name for name in os.listdir(root_of(box) / "proc") if name.isdigit()]
        assert seen == ["1"]
        assert (root_of(box) / "proc/1/comm").read_text() == "sleep\n"


@pytest.mark.parametrize("victim", ["host", "neighbour"])
def test_neither_can_kill_what_it_cannot_see(pair: Pair, victim: str) -> None:
    # Younger than the containers: nobody in there has got as far as its number.
    with subprocess.Popen(["sleep", "1000"]) as sleeping:
        pid = sleeping.pid if victim == "host" else pair[1].pid
        said = pair[0].exec(["kill", "-9", str(pid)])
        assert not said.exit.ok and "No such process" in said.stdout
        assert not is_gone(pid)
        sleeping.kill()


def test_neither_sees_a_mount_of_the_host_or_of_its_neighbour(pair: Pair) -> None:
    own = [
        {row[0] for row in mounts(pid)} for pid in (pair[0].pid, pair[1].pid, "self")
    ]
    assert not own[0] & own[1] and not own[0] & own[2] and not own[1] & own[2]
    for box in pair:
        kinds = {fstype(row) for row in mounts(box.pid)}
        assert kinds == {"overlay", "proc", "sysfs", "tmpfs", "devpts"}
        [root] = [row for row in mounts(box.pid) if row[4] == "/"]
        assert fstype(root) == "overlay"


def test_no_mount_of_a_container_reaches_the_host(pair: Pair) -> None:
    there = read("self", "mountinfo")
    assert not [box.name for box in pair if box.layers.directory in there]


def test_each_has_network_devices_of_its_own_and_none_of_the_hosts(pair: Pair) -> None:
    for box in pair:
        assert "lo" in devices(box.pid)
        assert not (devices(box.pid) & devices("self")) - {"lo"}
        # An address may be given to each of them; none has one yet.
        assert read(box.pid, "net/fib_trie") == ""


def test_each_has_a_name_that_the_host_has_not(pair: Pair) -> None:
    before = read("sys", "kernel/hostname")
    assert [box.exec(["hostname"]).stdout for box in pair] == ["left\n", "right\n"]
    assert read("sys", "kernel/hostname") == before


def test_a_container_is_in_its_group_and_does_not_see_which(
    pair: Pair, limits: Cgroup
) -> None:
    assert pair[0].pid in limits.pids()
    assert "left" in read(pair[0].pid, "cgroup")
    assert "left" not in pair[0].exec(["cat", "/proc/self/cgroup"]).stdout


def test_more_memory_than_its_limit_is_killed(pair: Pair, limits: Cgroup) -> None:
    assert limits.read("memory") == 64 * MIB
    before = limits.snapshot().oom_kills
    ended = pair[0].exec(["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"])
    assert ended.exit.signal == "SIGKILL"
    assert limits.snapshot().oom_kills > before
    assert limits.cause(ended.exit).startswith(
        "killed by SIGKILL: it touched more than"
    )
    assert pair[0].running and pair[1].running


def test_more_processes_than_its_limit_are_refused(pair: Pair, limits: Cgroup) -> None:
    many = container("many", ["sh", "-c", "while :; do sleep 60 & done"], pids=24)
    with many:
        many.start()
        assert many.wait(timeout_s=30).code == 2  # "can't fork"
        assert isinstance(many.cgroup, Cgroup)
        reading = many.cgroup.snapshot()
        assert reading.pids_refused > 0 and reading.pids_limit == 24
        assert many.cgroup.pids() == ()  # all ended with their process 1


def test_more_cpu_than_its_limit_has_to_wait(pair: Pair, limits: Cgroup) -> None:
    """A tenth of a CPU: less than what a busy machine has left for it."""
    limits.limit(cpu=0.1)
    before = limits.snapshot()
    pair[0].exec(["timeout", "1", "sh", "-c", "while :; do :; done"])
    change = limits.snapshot() - before
    limits.limit(cpu=0.5)
    assert change.cpu_throttled_periods > 2
    assert change.cpus < 0.2


def test_a_limit_cannot_be_lifted_from_inside(pair: Pair, limits: Cgroup) -> None:
    """/sys/fs/cgroup of the host isn't there, and /sys is read-only."""
    assert os.listdir(root_of(pair[0]) / "sys/fs/cgroup") == []
    said = pair[0].exec(["mkdir", "/sys/fs/cgroup/mine"])
    assert not said.exit.ok


def test_what_one_writes_is_in_its_own_upper_layer_only(pair: Pair) -> None:
    one, other = pair
    one.exec(
        ["sh", "-c", "echo mine > /root/note; echo mine >> /etc/motd; rm /etc/hosts"]
    )
    upper = Path(one.layers.upperdir)
    found = {str(p.relative_to(upper)) for p in upper.rglob("*") if not p.is_dir()}
    assert {"root/note", "etc/motd", "etc/hosts"} <= found
    whiteout = (upper / "etc/hosts").lstat()
    assert stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0
    assert os.listdir(other.layers.upperdir) == []
    assert (root_of(other) / "etc/hosts").exists()
    assert "mine" not in (root_of(other) / "etc/motd").read_text()


def test_the_image_stays_as_it_was(
    pair: Pair, recwarn: pytest.WarningsRecorder
) -> None:
    """rootfs compares every file with its manifest, and warns of damage."""
    pair[0].exec(["sh", "-c", "rm -r /home; echo x > /bin/busybox; mv /etc /old"])
    rootfs("alpine")
    assert [str(warning.message) for warning in recwarn] == []


def test_the_switches_of_the_host_are_out_of_reach(pair: Pair) -> None:
    said = pair[1].exec(["sh", "-c", "echo 1 > /proc/sys/vm/swappiness"])
    assert not said.exit.ok and "Read-only file system" in said.stdout
    assert (root_of(pair[1]) / "proc/timer_list").read_bytes() == b""


def test_the_escape_of_chapter_02_leads_nowhere() -> None:
    with container("mallory") as box:
        plan = Plan(*box.plan.steps[:-1]) + escape()
        with plan.fork(unchecked=True) as child:
            child.run()
            [root] = [row for row in mounts(child.pid) if row[4] == "/"]
            inside = os.stat(f"/proc/{child.pid}/root")
            assert fstype(root) == "overlay"
            assert root[2] == f"{os.major(inside.st_dev)}:{os.minor(inside.st_dev)}"


def test_the_order_is_right_and_every_wall_has_its_step() -> None:
    with container("ordered", memory="32M") as box:
        assert box.plan.why() == "the order is right"
        steps = list(box.plan.steps)
        at = next(i for i, one in enumerate(steps) if isinstance(one, PivotRoot))
        early = [steps[at], *steps[:at], *steps[at + 1 :]]
        assert "must come before PivotRoot" in Plan(*early).why()


def test_a_container_goes_on_with_its_own_files_after_a_stop() -> None:
    with container("again") as box:
        box.start()
        box.exec(["sh", "-c", "echo here > /root/note"])
        os.kill(box.pid, signal.SIGKILL)
        assert box.wait(timeout_s=10).signal == "SIGKILL" and not box.running
        box.start()
        assert box.exec(["cat", "/root/note"]).stdout == "here\n"
        with pytest.raises(StateError, match="runs already"):
            box.start()


def test_a_cell_that_runs_again_replaces_its_container() -> None:
    with container("cell") as first:
        first.start()
        first.exec(["touch", "/root/old"])
        pid = first.pid
        with container("cell") as second:
            assert becomes_true(lambda: is_gone(pid))
            second.start()
            assert os.listdir(root_of(second) / "root") == []


def test_afterwards_nothing_is_left() -> None:
    before = read("self", "mountinfo")
    box = container("gone", pids=16)
    box.start()
    pid, groups = box.pid, [*box.cgroup.hierarchy.directories("gone")]  # type: ignore[union-attr]
    assert all(map(os.path.isdir, groups))
    box.remove()
    box.remove()
    assert is_gone(pid) and not box.running
    assert not any(map(os.path.exists, [*groups, box.layers.directory]))
    assert read("self", "mountinfo") == before
    assert [one.name for one in handle.records() if one.name == "gone"] == []


def test_a_limit_that_is_none_leaves_nothing() -> None:
    with pytest.raises(DocumentError, match="'lots' is no size"):
        container("greedy", memory="lots")
    assert [one.name for one in handle.records() if one.name == "greedy"] == []


def test_a_root_that_is_not_there_leaves_nothing() -> None:
    with pytest.raises(FileNotFoundError):
        container("lost", root="/nowhere")
    assert [one.name for one in handle.records() if one.name == "lost"] == []


def test_a_program_that_is_not_there_leaves_a_container_that_does_not_run() -> None:
    with container("empty", ["/no/such/program"]) as box:
        with pytest.raises(FileNotFoundError, match=r"execve.*ENOENT"):
            box.start()
        assert not box.running
        with pytest.raises(StateError, match="doesn't run"):
            box.exec(["true"])


def test_several_layers_make_an_image(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/app").write_text("layer")
    with container("layered", root=(tmp_path, rootfs("alpine"))) as box:
        box.start()
        assert box.exec(["cat", "/srv/app"]).stdout == "layer"


def test_an_ordinary_user_has_containers_too(need_user_namespaces: None) -> None:
    """Without a cgroup the plan says that the limit holds for nobody."""

    def run() -> str:
        with container("user", memory="64M") as box:
            first = str(box.plan).splitlines()[0]
            box.start()
            inside = box.exec(["sh", "-c", "id -u; echo $$"]).stdout.split()
            return f"{first} / {inside} / {numbers(box.pid)[1:]}"

    said = as_ordinary_user(run)
    assert said == (
        " 1. limit not applied: no delegated cgroup (memory=64M) / ['0', '2'] / ['1']"
    )


@pytest.fixture
def need_user_namespaces() -> None:
    need("user-namespaces", as_ordinary_user(_may_unshare) == "True", "not for users")


def _may_unshare() -> bool:
    from labkit.host import Trial, probe

    try:
        return probe().trials.works(Trial.OVERLAY_IN_USER_NAMESPACE)
    except HostError:
        return False

"""A sweep finds what a killed notebook left, and touches nothing that has an owner."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from labkit import state
from labkit.host import CgroupLayout, Host
from labkit.linux import CLONE, HostPath, HostPid, Linux
from labkit.linux.proc import mounts
from labkit.plan import Plan, handle, step
from labkit.plan.family import Family
from labkit.primitives.cgroups import Cgroup
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.root import Chdir
from labkit.sweep import NOTHING, Leftover, left, sweep
from tests.kernel.watching import becomes_true, is_gone
from tests.support.skips import need

NOTEBOOK = """
import sys
from labkit.host import probe
from labkit.linux import CLONE
from labkit.plan import Plan
from labkit.primitives.cgroups import Cgroup
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.process import Exec
from labkit.rootfs import rootfs
from labkit.rootfs.box import Box

overlay = Overlay.create("left", (rootfs("alpine").path,))
group = Cgroup.create(sys.argv[1])
box = Box.create("left")
child = Plan(group.join(), Unshare(CLONE.NEWNS), MakePrivate("/"), overlay.mount(),
             Exec(["sleep", "60"])).fork()
child.run()
if "frozen" in sys.argv:
    group.freeze()
print(child.pid, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of this test's own, where an overlay's changes can be."""
    own = Path(os.environ["LABKIT_STATE"]) / tmp_path.name
    monkeypatch.setenv("LABKIT_STATE", str(own))
    return own


@pytest.fixture
def name() -> str:
    """A name that no other test run on this machine has."""
    return f"left-{os.getpid()}"


def killed_notebook(*arguments: str) -> int:
    """Kill a notebook with everything running; return its program's pid."""
    argv = [sys.executable, "-c", NOTEBOOK, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True) as notebook:
        assert notebook.stdout is not None
        pid = int(notebook.stdout.readline())
        notebook.kill()
    return pid


def kinds() -> set[str]:
    """Return the kinds of what is left."""
    return {one.kind for one in left() if isinstance(one, Leftover)}


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("how", ["running", "frozen"])
def test_what_a_killed_notebook_left_is_found_and_removed(
    how: str, name: str, own_state: Path
) -> None:
    pid = killed_notebook(name, how)
    assert {"overlay", "cgroup", "box", "child"} <= kinds()
    done = sweep()
    assert [str(one) for one in done if "not removed" in str(one)] == []
    assert left().text() == NOTHING
    assert becomes_true(lambda: is_gone(pid))
    assert sorted(os.listdir(own_state / "overlays")) == []
    assert list(Path("/sys/fs/cgroup").glob(f"*/labkit-{name}")) == []


@pytest.mark.usefixtures("as_root")
def test_a_dry_run_changes_nothing(name: str) -> None:
    killed_notebook(name)
    assert becomes_true(lambda: "1 processes" not in left().text())
    before = left().text()
    assert sweep(dry_run=True).text() == before == left().text()
    sweep()


def test_a_second_sweep_has_nothing_to_do() -> None:
    sweep()
    assert sweep() == ()
    assert repr(sweep()) == NOTHING == "left on this host: nothing"


def test_what_has_a_living_owner_is_left_alone(tmp_path: Path) -> None:
    with Plan(Chdir("/")).fork() as child, Overlay.create("box", (tmp_path,)) as box:
        assert sweep() == ()
        assert child.exec(["echo", "here"]).stdout == "here\n"
        assert os.path.isdir(box.upperdir)


@pytest.mark.usefixtures("as_root")
def test_a_living_owners_cgroup_is_left_alone(name: str) -> None:
    with Cgroup.create(name) as group, Plan(group.join()).fork() as child:
        child.run()
        assert sweep() == ()
        assert group.pids() == (child.pid,)


def dead_owners(kind: str, name: str, undo: dict[str, object]) -> handle.Record:
    """Write a record whose owner has ended."""
    kept = handle.record(kind, name, undo)
    fields = json.loads(Path(kept.path).read_text())
    Path(kept.path).write_text(json.dumps({**fields, "owner_start": 1}))
    return kept


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that isn't the lab's."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as one:
        yield one
        one.kill()


def test_a_process_that_got_a_recorded_pid_later_is_left_alone(
    stranger: subprocess.Popen[bytes],
) -> None:
    pid = HostPid(stranger.pid)
    dead_owners("child", "1", Family(pid, 1, pid, 1).to_json())
    assert sweep().text() == "removed: child 1 (has ended; its record is left)"
    assert stranger.poll() is None


def test_an_outside_without_a_notebook_is_ended_with_its_session(
    stranger: subprocess.Popen[bytes],
) -> None:
    pid = HostPid(stranger.pid)
    dead_owners("child", "1", Family.of(pid, pid).to_json())
    assert sweep().text() == "removed: child 1 (1 processes)"
    assert stranger.wait(5) == -signal.SIGKILL


@pytest.mark.parametrize("content", ["", "{", '{"kind": "overlay"}'])
def test_a_record_that_cannot_be_read_is_removed(content: str) -> None:
    kept = handle.record("overlay", "box", {})
    Path(kept.path).write_text(content)
    assert [str(one) for one in left()] == ["record overlay-box (cannot be read)"]
    sweep()
    assert not Path(kept.path).exists()


def test_a_record_never_leads_out_of_the_state(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    dead_owners("overlay", "box", {"directory": str(tmp_path / "precious")})
    assert "not removed: overlay box" in sweep().text()
    assert (tmp_path / "precious").is_dir()


def test_one_that_cannot_be_removed_does_not_stop_the_others(tmp_path: Path) -> None:
    dead_owners("overlay", "a", {"directory": "/etc"})
    dead_owners("overlay", "b", {"directory": f"{state.location()}/overlays/b"})
    lines = sweep().text().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["not removed", "removed"]


def test_directories_without_a_record_are_removed(own_state: Path) -> None:
    (own_state / "overlays" / "lost" / "upper").mkdir(parents=True)
    (own_state / "boxes" / "half.labkit-half").mkdir(parents=True)
    assert sweep().text() == (
        "removed: directory overlays/lost (without a record)\n"
        "removed: directory boxes/half.labkit-half (without a record)"
    )


def test_half_of_a_box_that_is_being_copied_is_left_alone(own_state: Path) -> None:
    (own_state / "boxes" / "box.labkit-half").mkdir(parents=True)
    handle.record("box", "box", {"directory": f"{own_state}/boxes/box"})
    assert sweep() == ()


def test_half_written_files_of_dead_processes_are_removed(own_state: Path) -> None:
    (own_state / "handles").mkdir(parents=True)
    (own_state / "handles" / ".a.json.999999999-1.new").touch()
    mine = own_state / "handles" / f".b.json.{os.getpid()}-1.new"
    mine.touch()
    assert sweep().text() == "removed: half a file handles/.a.json.999999999-1.new"
    assert mine.exists()


def test_a_root_that_was_being_made_is_removed_unless_somebody_is_at_it(
    own_state: Path,
) -> None:
    (own_state / "rootfs" / ".alpine.abc").mkdir(parents=True)
    with state.lock("rootfs"):
        assert left() == ()
    assert sweep().text() == "removed: half a root rootfs/.alpine.abc"


@pytest.mark.usefixtures("as_root")
def test_a_mount_in_the_state_is_detached_before_its_directory_goes(
    own_state: Path,
) -> None:
    def mounts_and_sweeps(linux: Linux) -> None:
        linux.mount("tmpfs", str(own_state / "overlays/lost/merged"), "tmpfs")
        print(sweep().text())
        assert not [m for m in mounts() if str(own_state) in m.target]

    (own_state / "overlays" / "lost" / "merged").mkdir(parents=True)
    plan = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), step(mounts_and_sweeps))
    with plan.fork() as child:
        child.run()
        assert child.output.startswith("removed: mount overlays/lost/merged (tmpfs)\n")


@pytest.mark.usefixtures("as_root")
def test_a_volume_on_which_the_state_lies_is_left_alone(own_state: Path) -> None:
    def mounts_and_looks(linux: Linux) -> None:
        linux.mount("tmpfs", str(own_state), "tmpfs")
        (own_state / "overlays").mkdir()
        linux.mount("tmpfs", str(own_state / "overlays"), "tmpfs")
        print(left().text(), end="")

    own_state.mkdir(parents=True)
    plan = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), step(mounts_and_looks))
    with plan.fork() as child:
        child.run()
        assert child.output == NOTHING


@pytest.fixture
def own_cgroups(host: Host, as_root: None) -> Iterator[Host]:
    """A machine whose cgroups all lie in one that is this test's own."""
    pids = host.cgroups.controller("pids")
    need(
        "pids", pids is not None and pids.parent, "this machine has no pids controller"
    )
    assert pids is not None
    parent = Path(str(pids.parent), f"labkit-sweeps-{os.getpid()}")
    parent.mkdir()
    mine = replace(pids, parent=HostPath(str(parent)))
    yield replace(host, cgroups=CgroupLayout(host.cgroups.layout, (mine,)))
    for group in parent.iterdir():
        if group.is_dir():
            group.rmdir()
    parent.rmdir()


def lost_cgroup(host: Host, name: str) -> Cgroup:
    """Make a cgroup and lose its record."""
    group = Cgroup.create(name, host)
    for record in handle.records():
        record.forget()
    return group


def test_a_cgroup_without_a_record_is_known_by_its_prefix(
    own_cgroups: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    group = lost_cgroup(own_cgroups, "lost")
    assert left(own_cgroups) == ()  # another state directory may have its record
    machines_own_state(monkeypatch, tmp_path)
    assert "removed: cgroup lost" in sweep(own_cgroups).text().splitlines()
    assert not os.path.exists(str(group.path("pids")))


def test_a_cgroup_whose_processes_have_a_notebook_is_left_alone(
    own_cgroups: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    group = lost_cgroup(own_cgroups, "lost")
    with Plan(Chdir("/")).fork() as child:
        group.attach(child.pid)
        machines_own_state(monkeypatch, tmp_path)
        assert "cgroup lost" not in left(own_cgroups).text()
    group.remove()


def machines_own_state(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Have no LABKIT_STATE, and all the same not this machine's real state."""
    monkeypatch.delenv("LABKIT_STATE")
    monkeypatch.setattr("labkit.state.location", lambda: str(place))


@pytest.mark.usefixtures("as_root")
def test_a_network_link_with_the_labs_prefix_is_removed(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def makes_and_sweeps(linux: Linux) -> None:
        from pyroute2 import IPRoute

        with IPRoute() as netlink:
            netlink.link("add", ifname="labkit0", kind="bridge")
        # Without cgroups: those of other states on this machine aren't the test's.
        done = sweep(replace(host, cgroups=CgroupLayout()))
        print([str(one) for one in done if "link" in str(one)], end="")
        print([name for _, name in socket.if_nameindex()])

    machines_own_state(monkeypatch, tmp_path)
    monkeypatch.setattr("labkit.network.networks._USUAL", str(tmp_path))
    with Plan(Unshare(CLONE.NEWNET), step(makes_and_sweeps)).fork() as child:
        child.run()
        assert child.output == "['removed: link labkit0']['lo']\n"


def test_two_sweeps_do_not_run_at_the_same_time() -> None:
    with state.lock("sweep"):
        done = subprocess.Popen([sys.executable, "-m", "labkit", "sweep"])
        with pytest.raises(subprocess.TimeoutExpired):
            done.wait(1.5)
    assert done.wait(10) == 0

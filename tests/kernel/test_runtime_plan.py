"""A whole container by its plan: namespaces, names, cgroup, terminal, hooks, exec."""

from __future__ import annotations

import array
import contextlib
import ctypes
import json
import os
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import ContainerFailed, DocumentError, LabError
from labkit.host import CgroupLayout, Layout
from labkit.linux import Linux, proc
from labkit.linux.flags import NamespaceType
from labkit.linux.privilege_flags import KEYCTL
from labkit.primitives.cgroups.device_rules import AllowDevices, FilterDevices
from labkit.primitives.cgroups.place import places_of
from labkit.primitives.namespaces import Namespaces
from labkit.primitives.program import FindProgram
from tests.kernel.bundles import Bundle, Container, with_cgroup
from tests.kernel.watching import becomes_true
from tests.support.skips import need

IDLE = ("sleep", "100")


def test_it_has_the_namespaces_that_the_spec_names(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as container:
        differ = Namespaces.of(container.pid) - Namespaces.of("self")
        named = {row["type"] for row in bundle.linux["namespaces"]}
        assert {kind.value for kind in differ} == named
        assert container.status("NSpid").split()[-1] == "1"


def test_names_are_its_own(bundle: Bundle) -> None:
    bundle.document.update(hostname="inside", domainname="domain")
    assert bundle.run("hostname") == "inside\n"
    assert bundle.run("cat", "/proc/sys/kernel/domainname") == "domain\n"
    assert os.uname().nodename != "inside"


def test_a_name_without_a_namespace_for_it_is_refused(bundle: Bundle) -> None:
    bundle.linux["namespaces"].remove({"type": "uts"})
    with pytest.raises(DocumentError, match="/hostname"):
        bundle.plan()


def test_a_namespace_is_joined_by_its_path(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as first:
        joined = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
        for row in bundle.linux["namespaces"]:
            if row["type"] in joined:
                row["path"] = f"/proc/{first.pid}/ns/{joined[row['type']]}"
        bundle.document["hostname"] = ""
        with bundle.running(*IDLE) as second:
            same = Namespaces.of(first.pid) - Namespaces.of(second.pid)
            assert same == {NamespaceType.MOUNT, NamespaceType.CGROUP}
            assert second.status("NSpid").split()[-1] != "1"


def test_clocks_are_ahead_in_a_time_namespace(bundle: Bundle) -> None:
    need("time-namespace", Path("/proc/self/ns/time").exists(), "this Linux has none")
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1_000_000, "nanosecs": 5}}
    ahead = float(bundle.run("cat", "/proc/uptime").split()[0])
    assert ahead > float(Path("/proc/uptime").read_text().split()[0]) + 900_000


def test_settings_are_those_of_its_own_namespaces(bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4321"}
    said = bundle.run("cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/kernel/msgmax")
    assert said.split() == ["1", "4321"]
    assert Path("/proc/sys/kernel/msgmax").read_text().strip() != "4321"


@pytest.mark.parametrize("name", ["vm.swappiness", "kernel.core_pattern"])
def test_a_setting_of_the_machine_is_refused(bundle: Bundle, name: str) -> None:
    bundle.linux["sysctl"] = {name: "1"}
    with pytest.raises(DocumentError, match="whole machine"):
        bundle.plan()


ADD_KEY = {"x86_64": 248, "aarch64": 217}
OUR_SESSION, POSSESSOR = -3, 0x3F000000  # linux/keyctl.h


@pytest.fixture
def secret() -> str:
    """A key in the session keyring of this process, for whoever has that keyring."""
    number = ADD_KEY.get(os.uname().machine)
    need("machine", number, "add_key's number isn't known")
    linux = Linux(forked=True)
    linux.keyctl(KEYCTL.JOIN_SESSION_KEYRING)
    libc = ctypes.CDLL(None, use_errno=True)
    name = b"labkit-secret"
    key = libc.syscall(number, b"user", name, name, len(name), OUR_SESSION)
    assert key > 0, os.strerror(ctypes.get_errno())
    linux.keyctl(KEYCTL.SETPERM, key, POSSESSOR)
    return name.decode()


def test_it_has_a_keyring_of_its_own(bundle: Bundle, secret: str) -> None:
    bundle.linux["maskedPaths"] = []
    assert secret not in bundle.run("cat", "/proc/keys")
    bundle.situation["new_keyring"] = False
    assert secret in bundle.run("cat", "/proc/keys")


def test_a_cgroup_has_its_limits_and_the_container(bundle: Bundle) -> None:
    with_cgroup(bundle, "limits")
    bundle.linux["resources"] = {
        "memory": {"limit": 64 << 20},
        "pids": {"limit": 33},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
    }
    with bundle.running(*IDLE) as container:
        found = texts_of(bundle)
        assert found["pids.max"] == "33"
        assert found.get("memory.max", found.get("memory.limit_in_bytes")) == "67108864"
        assert found.get("cpu.max", found.get("cpu.cfs_quota_us")).startswith("50000")
        assert found.get("cpu.weight", found.get("cpu.shares")) in ("20", "512")
        for place in bundle.places:
            procs = Path(place.directory, "cgroup.procs").read_text().split()
            assert str(container.pid) in procs


def texts_of(bundle: Bundle) -> dict[str, str]:
    """Return the files of the container's cgroup that limits are in."""
    names = (
        "pids.max", "memory.max", "memory.limit_in_bytes", "cpu.max", "cpu.shares",
        "cpu.cfs_quota_us", "cpu.weight",
    )  # fmt: skip
    paths = (Path(p.directory, name) for p in bundle.places for name in names)
    return {path.name: path.read_text().strip() for path in paths if path.exists()}


def test_it_sees_its_own_cgroup_and_no_more(bundle: Bundle) -> None:
    with_cgroup(bundle, "sees")
    with bundle.running(*IDLE) as container:
        paths = set(container.exec("cat", "/proc/1/cgroup").split())
        ours = [line for line in paths if "labkit" in line]
        assert ours == []
        there = "/sys/fs/cgroup"
        words = f"cat {there}/*/cgroup.procs {there}/cgroup.procs 2>/dev/null"
        procs = container.exec("sh", "-c", words)
        assert "1" in procs.split()
        refused = container.exec("mkdir", "/sys/fs/cgroup/new")
        assert "ead-only" in refused


def give(bundle: Bundle, *names: str) -> None:
    """Let the container's root have some capabilities."""
    sets = ("bounding", "effective", "permitted")
    bundle.process["capabilities"] = dict.fromkeys(sets, list(names))


MAKE_AND_OPEN = "mknod /dev/message c 1 11 && dd if=/dev/message count=0"


def test_a_device_that_isnt_allowed_has_no_driver(bundle: Bundle) -> None:
    with_cgroup(bundle, "devices")
    give(bundle, "CAP_MKNOD", "CAP_SYSLOG")
    assert "not permitted" in bundle.run("sh", "-c", MAKE_AND_OPEN)


def test_without_the_rules_it_has_one(bundle: Bundle) -> None:
    with_cgroup(bundle, "devices")
    give(bundle, "CAP_MKNOD", "CAP_SYSLOG")
    bundle.change = lambda plan: plan.without(AllowDevices).without(FilterDevices)
    assert "not permitted" not in bundle.run("sh", "-c", MAKE_AND_OPEN)


def test_a_device_that_is_allowed_works(bundle: Bundle) -> None:
    with_cgroup(bundle, "devices")
    bundle.linux["resources"]["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"},
    ]
    bundle.linux["devices"] = [{"path": "/dev/m", "type": "c", "major": 1, "minor": 11}]
    give(bundle, "CAP_SYSLOG")
    assert "not permitted" not in bundle.run("dd", "if=/dev/m", "count=0")


def offered_by(directory: str) -> list[str]:
    """Return the controllers of a group in the tree of version 2."""
    return Path(directory, "cgroup.controllers").read_text().split()


def test_in_the_tree_of_v2_it_is_born_in_its_group(bundle: Bundle) -> None:
    top = bundle.host.cgroups.unified
    need("cgroup-v2", top, "this machine has no tree of version 2")
    # Beside trees of version 1 it rarely has a controller, and nobody has made room.
    free = bundle.host.cgroups.layout is Layout.UNIFIED or not offered_by(str(top))
    need("cgroup-v2", free, "its tree has controllers, and processes at its top")
    layout = CgroupLayout(Layout.UNIFIED, (), top, top)
    bundle.places = places_of("/labkit-test-born", layout)
    give(bundle, "CAP_MKNOD", "CAP_SYSLOG")
    with bundle.running("sh", "-c", f"{MAKE_AND_OPEN}; sleep 100") as container:
        assert container.says("not permitted")
        assert proc.cgroups_of(container.pid)[""] == "/labkit-test-born"
        assert "0::/\n" in container.exec("cat", "/proc/self/cgroup")
        assert "1\n" in container.exec("cat", "/sys/fs/cgroup/cgroup.procs")


@pytest.fixture
def console() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a console socket."""
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def master_from(ours: socket.socket) -> int:
    """Return the descriptor that came over a console socket."""
    _, rights, _, _ = ours.recvmsg(64, socket.CMSG_LEN(4))
    return array.array("i", rights[0][2][:4])[0]


def read_from(master: int) -> str:
    """Return what a terminal shows, until it closes."""
    said = b""
    while select.select([master], [], [], 10)[0]:
        try:
            said += os.read(master, 4096)
        except OSError:
            break  # EIO: nobody has the other end any more
    os.close(master)
    return said.decode()


def test_a_terminal_is_its_stdio_and_its_console(
    bundle: Bundle, console: tuple[socket.socket, socket.socket]
) -> None:
    bundle.process.update(terminal=True, consoleSize={"height": 33, "width": 101})
    bundle.situation["console_fd"] = os.dup(console[1].fileno())
    words = (
        "tty; stat -c %t:%T /dev/console; echo typed > /dev/tty; ls -l /proc/self/fd"
    )
    with bundle.running("sh", "-c", words) as container:
        os.close(bundle.situation["console_fd"])
        master = master_from(console[0])
        size = struct.unpack("HHHH", os_ioctl(master))
        container.wait()
        shown = read_from(master)
    assert shown.startswith("/dev/pts/0")
    assert "88:0" in shown  # 136:0 in hexadecimal: the terminal itself
    assert "typed" in shown
    assert size[:2] == (33, 101)


def os_ioctl(master: int) -> bytes:
    """Ask a terminal for its size."""
    import fcntl
    import termios

    return fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8))


def test_a_terminal_that_nobody_holds_is_refused(bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    with pytest.raises(DocumentError, match="terminal"):
        bundle.plan()


def hook(path: str, *args: str, **more: object) -> dict[str, object]:
    return {"path": path, "args": [path, *args], "env": ["PATH=/bin:/usr/bin"], **more}


def test_hooks_run_in_their_order_and_namespaces(
    bundle: Bundle, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script = f"echo $0 $(hostname) >> {log}; cat >> {log}.state; echo >> {log}.state"
    inside = "cat > /hooked; hostname >> /hooked"
    bundle.document["hostname"] = "inside"
    bundle.document["hooks"] = {
        "prestart": [hook("/bin/sh", "-c", script, "prestart")],
        "createRuntime": [hook("/bin/sh", "-c", script, "createRuntime")],
        "createContainer": [hook("/bin/sh", "-c", script, "createContainer")],
        "startContainer": [hook("/bin/sh", "-c", inside)],
    }
    with bundle.running(*IDLE) as container:
        host = os.uname().nodename
        assert log.read_text().split("\n")[:3] == [
            f"prestart {host}", f"createRuntime {host}", "createContainer inside",
        ]  # fmt: skip
        states = [
            json.loads(line)
            for line in Path(f"{log}.state").read_text().split("\n")
            if line
        ]
        assert states[0]["pid"] == container.pid
        assert {state["id"] for state in states} == {"test"}
        assert "inside" in container.root("/hooked").read_text()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (hook("/bin/sh", "-c", "echo reason >&2; exit 3"), "exit code 3"),
        (hook("/no/such"), "exit code 127"),
        (hook("/bin/sleep", "100", timeout=1), "has not ended after 1 s"),
    ],
)
def test_a_hook_that_fails_fails_the_container(
    bundle: Bundle, command: dict[str, object], words: str
) -> None:
    bundle.document["hooks"] = {"createRuntime": [command]}
    with pytest.raises(ContainerFailed, match=words) as refused:
        bundle.run("true")
    assert "reason" in str(refused.value) or words != "exit code 3"


def test_one_more_program_is_in_the_same_container(bundle: Bundle) -> None:
    with_cgroup(bundle, "exec")
    with bundle.running(*IDLE) as container, container.running(*IDLE) as more:
        assert Namespaces.of(more.pid) - Namespaces.of(container.pid) == frozenset()
        assert proc.cgroups_of(more.pid) == proc.cgroups_of(container.pid)
        assert more.status("CapEff") == container.status("CapEff")
        assert os.readlink(f"/proc/{more.pid}/root") == "/"
        assert container.root("/bin/busybox").samefile(more.root("/bin/busybox"))


def test_one_more_program_has_its_own_user_and_environment(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as container:
        said = container.exec("sh", "-c", "id -u; pwd; echo $A",
                              user={"uid": 1000, "gid": 1000}, cwd="/etc",
                              env=["PATH=/bin", "A=b"])  # fmt: skip
        assert said.split() == ["1000", "/etc", "b"]


def test_the_container_ends_with_its_first_process(bundle: Bundle) -> None:
    with bundle.running(*IDLE) as container, container.running(*IDLE) as more:
        os.kill(container.pid, 9)
        assert becomes_true(lambda: not Path(f"/proc/{more.pid}/root/bin").exists())


def test_a_failing_step_leaves_nothing(bundle: Bundle) -> None:
    bundle.document["mounts"].append(
        {"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}
    )
    before = {mount.target for mount in proc.mounts()}
    with pytest.raises(LabError, match="open_tree.*ENOENT"):
        bundle.run("true")
    assert {mount.target for mount in proc.mounts()} == before


def test_two_plans_tell_what_differs(bundle: Bundle) -> None:
    plain = bundle.plan()
    bundle.document["root"]["readonly"] = True
    (more,) = bundle.plan() - plain
    assert "MOUNT_ATTR_RDONLY" in more.describe()


def test_every_order_of_the_planner_is_right(bundle: Bundle) -> None:
    with_cgroup(bundle, "order")
    assert bundle.plan().why() == "the order is right"


def test_a_first_process_of_ours_forwards_signals_and_reaps(bundle: Bundle) -> None:
    bundle.situation["init"] = True
    words = "trap 'echo heard; exit 7' TERM; (sleep 0.1 &) ; echo up; sleep 100 & wait"
    with bundle.running("sh", "-c", words) as container:
        assert container.says("up")
        assert becomes_true(lambda: len(programs_in(container)) == 3)  # no zombie
        assert programs_in(container)["1"] != "sh"
        os.kill(container.pid, 15)
        container.wait()
        assert "heard" in container.said()
        assert os.waitstatus_to_exitcode(os.waitpid(container.pid, 0)[1]) == 7


def programs_in(container: Container) -> dict[str, str]:
    """Return the container's processes, by their numbers inside."""
    seen, found = container.root("/proc"), {}
    for name in filter(str.isdigit, os.listdir(seen)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            found[name] = (seen / name / "comm").read_text().strip()
    return found


def test_a_first_process_of_ours_holds_no_file(bundle: Bundle) -> None:
    bundle.situation["init"] = True
    with bundle.running(*IDLE) as container:
        assert becomes_true(lambda: os.listdir(f"/proc/{container.pid}/fd") == [])


def test_a_program_that_isnt_there_is_told_past_a_first_process(bundle: Bundle) -> None:
    bundle.situation["init"] = True
    bundle.change = lambda plan: plan.without(FindProgram)
    with pytest.raises(LabError, match="execve.*ENOENT"):
        bundle.run("no-such")

"""One VM for a learner's notebooks: what is in it, and what a button does to it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.vm import accelerator, commands
from tests.vm.conftest import Running
from tests.vm.notebook import Notebook, quietly

Start = Callable[..., Notebook]
pytestmark = pytest.mark.timeout(400)


def test_a_notebook_is_root_in_a_linux_of_its_own(notebook: Start) -> None:
    said = notebook().run("import os; print(os.geteuid(), os.uname().nodename)")
    assert said == "0 labvm"


def test_all_controllers_of_version_2_are_there(notebook: Start) -> None:
    said = notebook().run("print(open('/sys/fs/cgroup/cgroup.subtree_control').read())")
    assert {"cpuset", "cpu", "io", "memory", "pids"} <= set(said.split())


def test_every_chapter_is_real_there(notebook: Start) -> None:
    code = (
        "from labkit import doctor, host; print(doctor.examine(host.probe()).exit_code)"
    )
    assert notebook().run(code) == "0"


# A module, and what a program does that needs it.
ASKED = {
    "dummy": "unshare -n ip link add type dummy",
    "veth": "unshare -n ip link add type veth",
    "vxlan": "unshare -Urn ip link add asked type vxlan id 1 dstport 4789",
    "br_netfilter": "unshare -n ip link add type bridge",
    "sch_netem": "unshare -n tc qdisc add dev lo root netem",
    "nft_masq": "unshare -n nft 'add table ip t; add chain ip t c {type nat hook"
    " postrouting priority 100;}; add rule ip t c masquerade'",
    "tun": "true <>/dev/net/tun",
    "fuse": "true </dev/fuse",
    "loop": "true </dev/loop-control",
    "squashfs": "mount -t squashfs /dev/null /mnt || true",
}


def test_linux_loads_a_module_when_a_program_asks(notebook: Start) -> None:
    code = (
        "import subprocess\n"
        "loaded = lambda: {row.split()[0] for row in open('/proc/modules')}\n"
        f"asked = {ASKED!r}\n"
        "print(sorted(set(asked) & loaded()))\n"
        "for command in asked.values():\n"
        "    subprocess.run(command, shell=True, check=True, capture_output=True)\n"
        "print(sorted(set(asked) - loaded()))"
    )
    assert notebook().run(code).splitlines() == ["[]", "[]"]


def test_two_notebooks_share_a_machine(
    notebook: Start, vm: Callable[[], Running]
) -> None:
    one = notebook()
    one.run("import os; os.mkdir('/sys/fs/cgroup/labkit-shared')")
    qemu = vm().qemu
    said = notebook().run("import os; print(os.rmdir('/sys/fs/cgroup/labkit-shared'))")
    assert (said, vm().qemu) == ("None", qemu)


def test_an_interrupt_stops_the_cell_and_nothing_else(notebook: Start) -> None:
    one, other = notebook(), notebook()
    other.run("kept = 7")
    one.run("kept = 5")
    request = one.begin("import time; time.sleep(60)")
    time.sleep(1)
    one.manager.interrupt_kernel()
    assert one.reply(request)["ename"] == "KeyboardInterrupt"
    assert (one.run("print(kept)"), other.run("print(kept)")) == ("5", "7")


def test_a_restart_is_of_that_kernel_only(notebook: Start) -> None:
    one, other = notebook(), notebook()
    one.run("kept = 1")
    other.run("kept = 2; open('/tmp/of-the-machine', 'w').write('still here')")
    one.restart()
    assert one.run("print('kept' in globals())") == "False"
    assert one.run("print(open('/tmp/of-the-machine').read())") == "still here"
    assert other.run("print(kept)") == "2"


def test_a_kernel_that_ends_by_itself_ends_for_jupyter(notebook: Start) -> None:
    one, other = notebook(), notebook()
    one.begin("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert one.has_ended()
    assert other.run("print('well')") == "well"


def test_a_kernel_whose_notebook_is_killed_ends(notebook: Start) -> None:
    one, other = notebook(), notebook()
    inside = one.run("import os; print(os.getpid())")
    os.kill(one.pid, 9)
    gone = f"print(not __import__('os').path.exists('/proc/{inside}'))"
    assert quietly(lambda: other.run(gone) == "True")


def test_files_of_the_work_folder_are_the_same_on_both_sides(
    notebook: Start, work: Path
) -> None:
    (work / "outside.txt").write_text("from outside")
    one = notebook(work)
    assert one.run("print(open('outside.txt').read())") == "from outside"
    one.run("open('inside.txt', 'w').write('from inside')")
    assert (work / "inside.txt").read_text() == "from inside"
    assert (work / "inside.txt").stat().st_uid == os.stat(work).st_uid


@pytest.fixture
def work(notebook: Start) -> Path:
    """The folder that this module's VM shares: its first notebook's."""
    code = (
        "print([l.split()[4] for l in open('/proc/self/mountinfo') if ' 9p ' in l][0])"
    )
    return Path(notebook().run(code))


def test_kvm_is_used_where_it_works_and_not_tried_again_where_not(
    notebook: Start,
) -> None:
    notebook()
    used = "\n".join(commands.status()).partition("running (")[2].split(",")[0]
    assert accelerator.candidates()[0] == used


def test_its_clock_is_right(notebook: Start) -> None:
    said = float(notebook().run("import time; print(time.time())"))
    assert abs(said - time.time()) < 5


def test_nothing_of_this_machine_can_be_reached(notebook: Start) -> None:
    """10.0.2.2 is where QEMU's network shows the machine's loopback, if it may."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "import socket\n"
            f"try: socket.create_connection(('10.0.2.2', {port}), 3); print('in')\n"
            "except OSError: print('shut out')"
        )
        assert notebook().run(code) == "shut out"


def test_each_kernel_draws_its_own_numbers(notebook: Start) -> None:
    code = "import random, os; print(random.random(), os.urandom(8).hex())"
    drawn = [notebook().run(code).split() for _ in range(2)]
    assert not set(drawn[0]) & set(drawn[1])


def test_memory_that_a_notebook_frees_is_given_back(
    notebook: Start, vm: Callable[[], Running]
) -> None:
    one, qemu = notebook(), vm().qemu
    before = resident_mb(qemu)
    one.run("hoard = bytearray(b'x') * (200 << 20)")
    assert resident_mb(qemu) > before + 150
    one.run("del hoard")
    assert quietly(lambda: resident_mb(qemu) < before + 60)


def resident_mb(pid: int) -> int:
    """Return how much memory a process has now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def test_a_full_memory_ends_a_kernel_and_not_the_machine(
    notebook: Start, vm: Callable[[], Running]
) -> None:
    one, other = notebook(), notebook()
    before = vm()
    one.begin("hoard = []\nwhile True: hoard.append(bytearray(b'x' * (8 << 20)))")
    assert one.has_ended()
    assert (other.run("print('well')"), vm()) == ("well", before)

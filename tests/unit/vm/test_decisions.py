"""What the VM decides before and while it runs, without starting one."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import HostError
from labkit.vm import (
    accelerator,
    build,
    clock,
    connection,
    memory,
    places,
    saved_state,
    settings,
)
from labkit.vm.kernels import PORTS, Kernels
from labkit.vm.lines import Lines, connect, listen
from labkit.vm.machine import KVM, TCG, Machine
from labkit.vm.qmp import Monitor

MEMINFO = "MemTotal: 8000000 kB\nMemAvailable: {kb} kB\n"


def test_settings_come_from_the_environment() -> None:
    chosen = settings.from_environment(
        {"LABKIT_VM_MEMORY": "512", "LABKIT_VM_IDLE": "5"}
    )
    assert (chosen.memory_mb, chosen.idle_s) == (512, 5.0)


def test_a_setting_that_is_no_number_is_refused() -> None:
    with pytest.raises(HostError, match="LABKIT_VM_MEMORY"):
        settings.from_environment({"LABKIT_VM_MEMORY": "much"})


def test_a_state_fits_as_long_as_no_source_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte code in the initramfs isn't the same each time, from the same sources."""
    monkeypatch.setattr(saved_state, "qemu_version", str)
    for name in build.ARTEFACTS:
        (places.folder() / name).touch()
    initramfs = tmp_path / "initramfs.img"
    parts = dict.fromkeys(("kernel", "image", "scratch"), places.artefact("root.img"))
    one = Machine(
        **parts, initramfs=initramfs, python="/python", work="", memory_mb=512,
        cpus=1, accelerator="tcg", code_cache_mb=32,
    )  # fmt: skip
    initramfs.write_bytes(b"one")
    before = saved_state.what_it_is_for(one)
    initramfs.write_bytes(b"another")
    assert saved_state.what_it_is_for(one) == before
    monkeypatch.setattr(saved_state, "code_stamp", lambda: "newer")
    assert saved_state.what_it_is_for(one) != before


def test_without_a_limit_the_machine_says_what_is_free(tmp_path: Path) -> None:
    assert memory.available_mb(machine(tmp_path, available_mb=900)) == 900


def test_a_limit_of_version_2_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, available_mb=9000, fstype="cgroup2")
    write(tmp_path, "cg/pod/memory.max", f"{700 << 20}")
    write(tmp_path, "cg/pod/memory.current", f"{300 << 20}")
    files = f"inactive_file {100 << 20}\nactive_file {50 << 20}\n"
    write(tmp_path, "cg/pod/memory.stat", f"anon 1\n{files}")
    assert memory.available_mb(root) == 550


def test_a_limit_of_version_1_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, available_mb=9000, fstype="cgroup")
    write(tmp_path, "cg/pod/memory.limit_in_bytes", f"{800 << 20}")
    write(tmp_path, "cg/pod/memory.usage_in_bytes", f"{300 << 20}")
    files = f"total_inactive_file {50 << 20}\ntotal_active_file {10 << 20}\n"
    write(tmp_path, "cg/pod/memory.stat", f"inactive_file 7\n{files}")
    assert memory.available_mb(root) == 560


def test_a_limit_further_up_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, available_mb=9000, fstype="cgroup2")
    write(tmp_path, "cg/pod/memory.max", "max")
    write(tmp_path, "cg/memory.max", f"{100 << 20}")
    write(tmp_path, "cg/memory.current", "0")
    write(tmp_path, "cg/memory.stat", "")
    assert memory.available_mb(root) == 100


def test_too_little_memory_is_said_before_anything_starts() -> None:
    with pytest.raises(HostError, match="it needs 99999999"):
        memory.check(99_999_999)


def test_kvm_that_cannot_be_opened_is_not_tried(tmp_path: Path) -> None:
    assert accelerator.candidates("", str(tmp_path / "kvm")) == (TCG,)


def test_kvm_is_tried_before_emulation_until_it_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))
    monkeypatch.setattr(accelerator, "qemu_version", lambda: "QEMU 1")
    device = tmp_path / "kvm"
    device.touch()
    assert accelerator.candidates("", str(device)) == (KVM, TCG)
    accelerator.remember_failure()
    assert accelerator.candidates("", str(device)) == (TCG,)
    monkeypatch.setattr(accelerator, "qemu_version", lambda: "QEMU 2")
    assert accelerator.candidates("", str(device)) == (KVM, TCG)


@pytest.mark.parametrize(
    ("inside_s", "word"), [(10.0, True), (10.1, True), (10.4, False), (9.6, False)]
)
def test_a_clock_that_runs_otherwise_is_found(inside_s: float, word: bool) -> None:
    first, second = clock.Tick(0, 0.001, 5.0), clock.Tick(10, 10.001, 5.0 + inside_s)
    assert clock.fits(first, second) is word


def test_a_busy_machine_accuses_no_clock() -> None:
    first, second = clock.Tick(0, 3.0, 5.0), clock.Tick(10, 12.0, 5.0 + 8.0)
    assert clock.fits(first, second)


def test_a_comma_in_a_path_is_no_option() -> None:
    options = " ".join(a_machine(work="/home/me/a,b").options())
    assert "path=/home/me/a,,b," in options


def test_the_network_leads_nowhere() -> None:
    assert "user,id=net0,restrict=on,ipv6=off" in a_machine().options()


def test_a_checkout_is_shared_as_a_whole(tmp_path: Path) -> None:
    for name in ("labkit", "notebooks"):
        (tmp_path / name).mkdir()
    assert connection.work_folder(tmp_path / "notebooks", {}) == str(tmp_path)


def test_elsewhere_only_the_notebooks_folder_is_shared(tmp_path: Path) -> None:
    assert connection.work_folder(tmp_path, {}) == str(tmp_path)
    assert connection.work_folder(tmp_path, {"LABKIT_VM_WORK": "/w"}) == "/w"


def test_places_outside_mean_nothing_inside() -> None:
    environ = {"LABKIT_STATE": "/x", "LABKIT_VM_IDLE": "1", "LABKIT_WORK": "/w",
               "JPY_PARENT_PID": "1", "TZ": "UTC", "HOME": "/h"}  # fmt: skip
    inside = connection.environment_inside(environ)
    assert inside == {"LABKIT_WORK": "/w", "TZ": "UTC", "LABKIT_VM": "1"}


def test_a_socket_may_lie_in_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    assert connect(folder / "owner.sock") is None
    with listen(folder / "owner.sock") as listener:
        client = connect(folder / "owner.sock")
        assert client is not None
        server = Lines(listener.accept()[0])
        client.say(do="status")
        assert server.read() == [{"do": "status"}]
        client.close()
        assert server.read() is None
        server.close()


def test_a_kernel_waits_for_the_ports_of_the_one_before() -> None:
    vm = Told()
    kernels, old, new = Kernels(vm), client(), client()  # type: ignore[arg-type]
    kernels.add(old, request(), fresh=False)
    kernels.let_go(old)
    kernels.add(new, request(), fresh=False)
    assert vm.said == ["start 1", "kill 1"]
    kernels.heard({"event": "exit", "kernel": 1, "code": -9})
    assert vm.said == ["start 1", "kill 1", "start 2"]


def test_ports_are_forwarded_when_they_are_bound_and_given_back_at_the_end() -> None:
    vm = Told()
    kernels = Kernels(vm)  # type: ignore[arg-type]
    kernels.add(client(), request(), fresh=False)
    assert vm.monitor.forwarded == set()
    kernels.heard({"event": "bound", "kernel": 1})
    assert vm.monitor.forwarded == {1, 2, 3, 4, 5}
    kernels.heard({"event": "exit", "kernel": 1, "code": 0})
    assert (vm.monitor.forwarded, kernels.all) == (set(), {})


def test_a_port_that_somebody_took_is_told_to_the_notebook() -> None:
    vm, ours, notebooks = Told(), *socket.socketpair()
    vm.monitor.taken = 3
    kernels = Kernels(vm)  # type: ignore[arg-type]
    kernels.add(Lines(ours), request(), fresh=False)
    kernels.heard({"event": "bound", "kernel": 1})
    answer = Lines(notebooks).read()
    assert answer is not None and answer[0]["event"] == "failed"
    assert (vm.monitor.forwarded, vm.said[-1]) == (set(), "kill 1")
    ours.close()
    notebooks.close()


def test_what_qemu_refuses_is_an_error() -> None:
    ours, qemus = socket.socketpair()
    qemus.sendall(b'{"event": "STOP"}\n{"error": {"desc": "no such thing"}}\n')
    monitor = Monitor(ours)
    with pytest.raises(HostError, match="no such thing"):
        monitor.ask("unheard-of")
    qemus.close()
    with pytest.raises(HostError, match="QEMU has ended"):
        monitor._line()
    monitor.close()


class Told:
    """In place of a VM: what it was told, which ports are forwarded."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.monitor = self
        self.forwarded: set[int] = set()
        self.taken = 0

    def tell(self, **message: Any) -> None:
        """Write down what the agent would be told."""
        self.said.append(f"{message['do']} {message['kernel']}")

    def forward(self, port: int) -> None:
        """Forward a port, unless it is taken."""
        if port == self.taken:
            raise HostError("taken")
        self.forwarded.add(port)

    def stop_forwarding(self, port: int) -> None:
        """Give a port back."""
        self.forwarded.remove(port)


def client() -> Lines:
    """Return a client who doesn't listen any more."""
    ours, other = socket.socketpair()
    other.close()
    lines = Lines(ours)
    lines.close()
    return lines


def request() -> dict[str, Any]:
    """Return what a notebook asks for, always with the same five ports."""
    return {"connection": dict(zip(PORTS, range(1, 6), strict=True))}


def a_machine(work: str = "/work") -> Machine:
    """Return a machine that nobody starts."""
    here = Path("/x")
    return Machine(here, here, here, here, "/p", work, 512, 1, TCG, 32)


def machine(root: Path, *, available_mb: int, fstype: str = "") -> str:
    """Make a /proc, with a cgroup "pod" when there is a file system for it."""
    write(root, "proc/meminfo", MEMINFO.format(kb=available_mb * 1024))
    name = "memory" if fstype == "cgroup" else ""
    write(root, "proc/self/cgroup", f"1:{name}:/pod\n")
    options = "rw,memory" if name else "rw"
    row = f"1 1 0:1 / /cg rw - {fstype} none {options}\n" if fstype else ""
    write(root, "proc/self/mountinfo", row)
    return str(root)


def write(root: Path, name: str, text: str) -> None:
    """Write a file below a root."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

"""However a VM ends, nothing is left of it, and the next one starts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.vm import accelerator, commands, places, saved_state
from labkit.vm.boot import boot
from labkit.vm.machine import KVM, TCG, find_qemu
from labkit.vm.settings import Settings
from tests.vm.conftest import Running
from tests.vm.notebook import Notebook, quietly

Start = Callable[..., Notebook]
Look = Callable[[], Running]
pytestmark = pytest.mark.timeout(600)

# A Jupyter of its own, which a test can kill: it starts a kernel and says so.
JUPYTER = """
import sys, time
from pathlib import Path
from tests.vm.notebook import Notebook
Notebook.start(Path(sys.argv[1]), {})
print("started", flush=True)
time.sleep(600)
"""

# A QEMU in which KVM can be opened and then never gets anywhere.
STUCK_KVM = """#!/bin/sh
for word; do
    shift
    case $word in kvm) word=tcg; stopped=-S;; host) word=max;; esac
    set -- "$@" "$word"
done
exec {qemu} "$@" $stopped
"""


def test_it_ends_a_short_time_after_its_last_kernel(notebook: Start, vm: Look) -> None:
    one = notebook(LABKIT_VM_IDLE="1")
    before = vm()
    one.close()
    assert before.is_gone()


def test_it_stays_when_another_kernel_follows_soon(notebook: Start, vm: Look) -> None:
    one = notebook(LABKIT_VM_IDLE="30")
    before = vm()
    one.close()
    notebook()
    assert vm() == before
    commands.stop(print)


def test_it_ends_with_the_jupyter_that_wanted_it(
    no_vm: None, tmp_path: Path, vm: Look
) -> None:
    jupyter = subprocess.Popen(
        [sys.executable, "-c", JUPYTER, str(tmp_path)], stdout=subprocess.PIPE
    )
    assert jupyter.stdout is not None
    assert jupyter.stdout.readline() == b"started\n"
    before = vm()
    jupyter.kill()
    jupyter.wait()
    jupyter.stdout.close()
    assert before.is_gone()


def test_when_qemu_is_killed_the_notebook_gets_a_new_machine(
    notebook: Start, vm: Look
) -> None:
    one = notebook()
    before = vm()
    os.kill(before.qemu, signal.SIGKILL)
    assert one.has_ended()
    assert before.is_gone()
    assert notebook().run("print('well')") == "well"
    assert vm().qemu != before.qemu


def test_when_its_owner_is_killed_qemu_ends_too(notebook: Start, vm: Look) -> None:
    one = notebook()
    before = vm()
    os.kill(before.owner, signal.SIGKILL)
    assert one.has_ended()
    assert quietly(lambda: not Path(f"/proc/{before.qemu}").exists())
    assert notebook().run("print('well')") == "well"


def test_a_kernel_panic_is_the_end(notebook: Start, vm: Look) -> None:
    one = notebook()
    before = vm()
    one.begin("open('/proc/sysrq-trigger', 'w').write('c')")
    assert one.has_ended()
    assert before.is_gone()


def test_a_machine_without_files_is_the_learners_own_doing(
    notebook: Start, vm: Look, tmp_path: Path
) -> None:
    """rm -rf of everything but the work folder: stop and start, and all is there."""
    one = notebook()
    one.begin("import subprocess; subprocess.run('rm -rf /usr /etc /bin', shell=True)")
    commands.stop(print)
    assert one.has_ended()
    assert notebook().run("import os; print(os.path.exists('/usr/bin'))") == "True"


@pytest.mark.parametrize("damage", ["a byte", "half", "nothing in it"])
def test_a_damaged_state_means_a_cold_boot(
    notebook: Start, vm: Look, damage: str
) -> None:
    if not (places.saved() / saved_state.STATE).exists():
        commands.build(print)
    commands.stop(print)
    state = places.saved() / saved_state.STATE
    spoil(state, damage)
    spoiled = state.stat().st_mtime_ns
    assert notebook().run("print('well')") == "well"
    assert state.stat().st_mtime_ns != spoiled  # a new one was saved
    commands.stop(print)


def test_another_machines_state_means_a_cold_boot(
    notebook: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.stop(print)
    manifest = places.saved() / saved_state.MANIFEST
    manifest.write_text(manifest.read_text().replace('"boot": "', '"boot": "other-'))
    assert notebook().run("print('well')") == "well"
    assert "other-" not in manifest.read_text()


def test_a_kvm_that_gets_nowhere_is_given_up_for_emulation(
    no_vm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(STUCK_KVM.format(qemu=find_qemu()))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(accelerator, "candidates", lambda wanted: (KVM, TCG))
    monkeypatch.setitem(accelerator.READY_S, KVM, 2.0)
    said: list[str] = []
    commands.stop(print)
    try:
        booted = boot(Settings(), str(tmp_path), said.append)
        booted.vm.end()
    finally:
        shutil.rmtree(places.running())
    assert booted.machine.accelerator == TCG
    assert any("KVM doesn't work here" in line for line in said)
    monkeypatch.undo()
    assert accelerator.candidates() == (TCG,)
    (places.location() / "accelerator.json").unlink()  # the next test finds out itself


def test_stop_and_reset_and_status(notebook: Start, vm: Look) -> None:
    notebook()
    before = vm()
    assert "running" in "\n".join(commands.status())
    commands.reset(print)
    assert before.is_gone()
    assert "not running" in "\n".join(commands.status())
    assert not (places.saved() / saved_state.STATE).exists()


def spoil(state: Path, damage: str) -> None:
    """Damage a file in one of three ways."""
    size = state.stat().st_size
    with open(state, "r+b") as file:
        if damage == "a byte":
            file.seek(size // 2)
            byte = file.read(1)[0]
            file.seek(size // 2)
            file.write(bytes([byte ^ 0xFF]))
        else:
            file.truncate(size // 2 if damage == "half" else 0)

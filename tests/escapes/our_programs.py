"""Ways out by the programs of ours that start and watch containers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import labkit
from labkit.linux.views import HostPath
from labkit.runtime.fork_server import ForkServer
from labkit.runtime.request import Request
from tests.escapes.book import Attack, Wall
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle
from tests.kernel.monitored import monitor_of
from tests.kernel.watching import becomes_true

LOADER = Path("/lib64/ld-linux-x86-64.so.2")  # what Python's file asks Linux for
SEAL, PIECES = "a sealed copy", "a line in pieces"
LINE_MB, GROWTH_KB = 8, 4 * 1024

# {0} is the function by which the program begins: `program` makes the copy.
COMMAND = """
import sys
sys.path.insert(0, {1!r})
from labkit.runtime.oci.command import {0}
sys.exit({0}())
"""
SERVER = """
import sys
sys.path[:] = {1!r}
import labkit.runtime.log
labkit.runtime.log.LONGEST = {0}
from labkit.runtime.fork_server_process import main
sys.exit(main())
"""
# Take hold of the file of whoever became /evil; write into it when nobody runs it.
ATTACKER = """
while [ ! -e /held ]; do
    for one in /proc/[0-9]*; do
        case $(busybox readlink $one/exe) in *python*)
            exec 3<$one/exe; touch /held; kill -9 ${one#/proc/}; break;;
        esac
    done
done
until [ -e /nobody-runs-it ]; do sleep 0.01; done
for try in 1 2 3 4 5; do
    echo overwritten >/proc/self/fd/3 && break
    sleep 0.1
done
touch /tried
sleep 100
"""


def by_overwriting_our_program(bundle: Bundle, outside: Outside) -> bool:
    """Be the program that starts containers, and write into its file."""
    # A copy of Python, because it is overwritten when the attack succeeds.
    program = outside.directory / "python"
    shutil.copy(os.path.realpath(sys.executable), program)
    rootfs = bundle.path / "rootfs"
    (rootfs / "evil").write_text("#!/proc/self/exe\n")
    (rootfs / "evil").chmod(0o755)
    # The loader is the image's, and stops at a file that it reads: a pipe.
    (rootfs / "lib64").mkdir()
    shutil.copy(LOADER, rootfs / "lib64")
    os.mkfifo(rootfs / "etc" / "ld.so.preload")
    bundle.process["args"] = ["sh", "-c", ATTACKER]
    bundle.write()
    begins = "main" if SEAL in bundle.without else "program"
    with _runs(program, begins, bundle) as runtime:
        runtime("run", "-d", "escaping")
        runtime("exec", "-d", "escaping", "/evil")
        (rootfs / "nobody-runs-it").touch()
        assert becomes_true((rootfs / "tried").exists)
    return program.read_bytes().startswith(b"overwritten")


@contextmanager
def _runs(program: Path, begins: str, bundle: Bundle) -> Iterator[Callable[..., None]]:
    code = COMMAND.format(begins, _folder())
    root = str(bundle.path.parent / "root")

    def runtime(*words: str) -> None:
        subprocess.run(
            [program, "-S", "-c", code, "--root", root, *words],
            cwd=bundle.path, env={"PYTHONHOME": sys.base_prefix}, check=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    try:
        yield runtime
    finally:
        # Its file may have been overwritten: with another one.
        subprocess.run(
            [sys.executable, "-c", COMMAND.format("program", _folder()), "--root", root,
             "delete", "--force", "escaping"], check=True,
        )  # fmt: skip


def by_a_line_without_end(bundle: Bundle, outside: Outside) -> bool:
    """Write so long a line that whoever reads it has no memory left."""
    bundle.process["args"] = [
        "sh", "-c",
        f"dd if=/dev/zero bs=1M count={LINE_MB} | busybox tr '\\0' x; "
        "echo written >&2; sleep 100",
    ]  # fmt: skip
    directory = HostPath(str(outside.directory))
    longest = 1 << 40 if PIECES in bundle.without else 16 << 10
    code = SERVER.format(longest, sys.path)
    subprocess.run([sys.executable, "-c", code, directory], check=True)
    server = ForkServer(directory)
    box = server.start(Request("escaping", directory, bundle.plan()))
    try:
        monitor = monitor_of("escaping")
        before_kb = _peak_kb(monitor)
        log = Path(directory, "log")
        assert becomes_true(lambda: log.exists() and "written" in log.read_text())
        return _peak_kb(monitor) - before_kb > GROWTH_KB
    finally:
        box.kill()
        box.wait_until_gone()
        server.stop()


def _peak_kb(pid: int) -> int:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("VmHWM"))


def _folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(labkit.__file__)))


def _ours_without(what: str) -> Wall:
    # No step of the plan: it stands in the program that applies it.
    return lambda bundle: bundle.without.add(what)


ATTACKS = (
    Attack(
        "overwriting the runtime",
        "CVE-2019-5736",
        by_overwriting_our_program,
        {SEAL: _ours_without(SEAL)},
    ),
    Attack(
        "a line without end",
        "since logs have lines",
        by_a_line_without_end,
        {PIECES: _ours_without(PIECES)},
    ),
)

"""python -m tests.bench: a container's start, again and again, beside other programs.

Each round starts the same small container once with each program, and waits for its
end: all namespaces, a new root, a cgroup with three limits, /bin/true in it. The lab's
also makes an overlay, and removes everything: once as a notebook does it, once by a
warm fork server. That one has Docker's filter of system calls, as runc and crun have
it; how they do without is in the lines called bare. They take turns, so a busy minute
of the machine hits all of them.

    python -m tests.bench.idle       500 idle containers: the last start, and the memory
    python -m tests.bench.bridged    with a bridge network
    python -m tests.bench.many       10,000 containers, 50 at once: nothing stays

Ratios are what counts: the milliseconds are this machine's, today.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit import Exec, Plan, container
from labkit.host import Host, probe
from labkit.rootfs import rootfs
from tests.bench.peers import MEMORY, PIDS, PREFIX, PROGRAM
from tests.bench.served import Served, served
from tests.support.private_state import place_for_overlays

ROUNDS = 200
WHOLE = "labkit"
Seconds = dict[str, list[float]]


def main() -> int:
    """Measure, print the table, leave nothing."""
    parser = argparse.ArgumentParser("bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    host = probe()
    if not host.privilege.over_the_machine:
        print(
            "bench: needs root, because runc and crun do, with limits", file=sys.stderr
        )
        return 1
    with a_place() as folder, others(folder) as run, served(folder, host) as one:
        taken = measure(rounds, host, run, one)
    print(table(taken, rounds))
    return 0


def measure(
    rounds: int, host: Host, run: dict[str, Callable[[], float]], one: Served
) -> Seconds:
    """Return the seconds of each round, by what was measured."""
    taken: Seconds = {}
    # Found out once, as by any program that starts more than one container.
    root = rootfs("alpine").path
    for number in range(rounds):
        turn = {**one.round(), **lab_round(host, root)}
        turn["a process alone"] = process_alone()
        turn |= {name: one() for name, one in run.items()}
        for name, seconds in turn.items():
            taken.setdefault(name, []).append(seconds)
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr)
    return taken


def lab_round(host: Host, root: str) -> dict[str, float]:
    """Make, start, wait and remove one container; return what each part took."""
    start = time.perf_counter()
    box = container(
        PREFIX, [PROGRAM], root=root, host=host, memory=MEMORY, cpu=1, pids=PIDS
    )
    made = time.perf_counter()
    try:
        box.start()
        ended = box.wait(timeout_s=30)
        over = time.perf_counter()
    finally:
        box.remove()
    done = time.perf_counter()
    if not ended.ok:
        raise RuntimeError(f"the container ended with {ended}: {box.output}")
    return {
        WHOLE: done - start,
        "  layers and cgroup": made - start,
        "  start to exit": over - made,
        "  removal": done - over,
    }


def process_alone() -> float:
    """Return the seconds of the same program without any container, by the lab."""
    start = time.perf_counter()
    Plan(Exec([PROGRAM])).run()
    return time.perf_counter() - start


@contextmanager
def a_place() -> Iterator[Path]:
    """Give the run a state of its own, where an overlay's upper layer may lie."""
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=place_for_overlays()) as name:
        os.environ["LABKIT_STATE"] = f"{name}/state"
        shutil.copytree(rootfs("alpine").path, f"{name}/rootfs", symlinks=True)
        yield Path(name)


@contextmanager
def others(folder: Path) -> Iterator[dict[str, Callable[[], float]]]:
    """Start the program that runs the others; return how each is asked to run once."""
    line = [sys.executable, "-m", "tests.bench.peers", str(folder)]
    own_mounts = ["unshare", "--mount"] if shutil.which("unshare") else []
    with subprocess.Popen(
        [*own_mounts, *line], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peers:
        assert peers.stdin is not None and peers.stdout is not None
        names = peers.stdout.readline().split()
        try:
            yield {name: asking(peers, name) for name in names}
        finally:
            peers.stdin.close()
            peers.wait()
            remove_groups()


def asking(peers: subprocess.Popen[str], name: str) -> Callable[[], float]:
    """Return a function that lets one of the others run, and returns its seconds."""

    def once() -> float:
        assert peers.stdin is not None and peers.stdout is not None
        print(name, file=peers.stdin, flush=True)
        answer = peers.stdout.readline().strip()
        if not answer or answer.startswith("failed"):
            raise RuntimeError(f"{name} {answer or 'ended'}")
        return float(answer)

    return once


def remove_groups() -> None:
    """Remove the cgroups that a runtime left, with our own prefix only."""
    for path in sorted(Path("/sys/fs/cgroup").glob(f"*/{PREFIX}-*"), reverse=True):
        path.rmdir()
    for path in Path("/sys/fs/cgroup").glob(f"{PREFIX}-*"):
        path.rmdir()


def table(taken: Seconds, rounds: int) -> str:
    """Return medians and 95th percentiles, and how much of runc's median each is."""
    reference = "runc" if "runc" in taken else WHOLE
    base = statistics.median(taken[reference])
    lines = [f"{'':22} {'median':>9} {'95th':>9}   of {reference}"]
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        high = statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else median
        times = f"{median * 1e3:6.1f} ms {high * 1e3:6.1f} ms"
        lines.append(f"{name:22} {times}   {median / base:.2f}")
    return "\n".join([*lines, "", note(rounds)])


def note(rounds: int) -> str:
    """Return a sentence about the run."""
    status = Path("/proc/self/status").read_text()
    size = next(row for row in status.splitlines() if row.startswith("VmRSS"))
    mib = int(size.split()[1]) // 1024
    return (
        f"{rounds} rounds on Linux {probe().release}, {os.cpu_count()} CPUs; "
        f"the lab forks from a Python of {mib} MiB; runc and crun without an overlay"
    )


if __name__ == "__main__":
    raise SystemExit(main())

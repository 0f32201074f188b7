"""python -m tests.bench.limits: what each controller's limit does, as one table.

Run on a machine with cgroup version 1, and in the lab VM, which has version 2: the
rows are the same, so the two columns can be laid side by side.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from labkit import loads, state
from labkit.host import Host, probe
from labkit.linux import Linux
from labkit.plan import Child, Plan
from labkit.primitives.cgroups import Cgroup, Hierarchy, IoLimit, Legacy, Unified
from labkit.primitives.process import Exec

MIB = 1 << 20
TWO_AT_ONCE = "import os; os.fork(); [0 for _ in iter(int, 1)]"


def main() -> None:
    """Measure and print."""
    host = probe()
    with Cgroup.create("bench-limits", host) as box:
        version = 1 if isinstance(box.hierarchy, Legacy) else 2
        print(f"Linux {host.release}, cgroup version {version}")
        for name, seen in rows(box, host):
            print(f"  {name:34} {seen}")


def rows(box: Cgroup, host: Host) -> Iterator[tuple[str, str]]:
    """Yield what was asked for, and what Linux did."""
    yield "memory: 64 MiB, 200 wanted", memory(box)
    yield "cpu: 0.2 CPUs, all wanted", cpu(box)
    yield "io: 4 MiB/s, all wanted", io(box)
    yield "pids: 10, all wanted", pids(box)
    yield "freeze: for half a second", freeze(box)
    yield "kill: two that compute", kill(box)
    yield "cpuset: the last CPU", cpuset(host)
    yield "pressure: two on one CPU", pressure(box)


def run(box: Cgroup, *argv: str) -> Child:
    """Start a program of Python's in the group."""
    child = Plan(box.join(), Exec([sys.executable, *argv])).fork()
    child.run()
    return child


def until(holds: Callable[[], bool]) -> None:
    """Wait for something that a program in the group comes to."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def memory(box: Cgroup) -> str:
    """Take too much."""
    box.limit(memory="64M", swap=0)
    ended = run(box, loads.path("memory"), "--mebibytes", "200").wait(60)
    seen = box.snapshot()
    box.limit(memory=None)
    peak = seen.memory_peak_bytes / MIB
    return f"{ended.signal}, peak {peak:.2f} MiB, oom_kill {seen.oom_kills}"


def cpu(box: Cgroup) -> str:
    """Compute for four seconds."""
    box.limit(cpu=0.2)
    before = box.snapshot()
    run(box, loads.path("cpu"), "--seconds", "4").wait(60)
    change = box.snapshot() - before
    box.limit(cpu=None)
    held = f"{change.cpu_throttled_periods} of {change.cpu_periods}"
    return f"{change.cpus:.3f} CPUs, throttled in {held} periods"


def io(box: Cgroup) -> str:
    """Write past the cache; four seconds of it."""
    disk = state.directory()
    box.limit(io=IoLimit.on(disk, write="4M"))
    none = box.snapshot().io_written_bytes
    child = run(box, loads.path("disk"), "--directory", disk, "--seconds", "6")
    until(lambda: box.snapshot().io_written_bytes > none)
    before = box.snapshot()
    time.sleep(4)
    change = box.snapshot() - before
    child.stop()
    box.limit(io=IoLimit.on(disk))
    return f"{change.io_written_bytes / change.seconds / MIB:.2f} MiB/s"


def pids(box: Cgroup) -> str:
    """Fork without an end."""
    box.limit(pids=10)
    bomb = run(box, loads.path("processes"))
    until(lambda: box.snapshot().pids_refused > 0)
    most = max(box.snapshot().pids for _ in range(100))
    refused = box.snapshot().pids_refused
    box.kill()
    bomb.stop()
    box.limit(pids=None)
    return f"at most {most}, forks were refused: {refused > 0}"


def freeze(box: Cgroup) -> str:
    """Stop time for a process that computes."""
    child = run(box, loads.path("cpu"), "--seconds", "60")
    until(lambda: box.snapshot().cpu_usage_us > 100_000)
    began = time.monotonic()
    box.freeze()
    took = time.monotonic() - began
    before = box.snapshot()
    time.sleep(0.5)
    used = box.snapshot().cpu_usage_us - before.cpu_usage_us
    box.thaw()
    time.sleep(0.5)
    after = box.snapshot().cpu_usage_us - before.cpu_usage_us
    child.stop()
    return f"in {took * 1e3:.1f} ms; {used} us computed, {after} us once thawed"


def kill(box: Cgroup) -> str:
    """End all of them at once."""
    child = run(box, "-c", TWO_AT_ONCE)
    until(lambda: len(box.pids()) == 2)
    members, began = len(box.pids()), time.monotonic()
    box.kill()
    took = time.monotonic() - began
    signal = child.wait(10).signal
    return f"{members} ended by {signal} in {took * 1e3:.1f} ms, {len(box.pids())} left"


def cpuset(host: Host) -> str:
    """Bind a group to one CPU; through the file, because it is no limit of limit()."""
    found, last = host.cgroups.controller("cpuset"), str(max(os.sched_getaffinity(0)))
    assert found is not None
    assert found.parent is not None
    hierarchy: Hierarchy = Unified(found.parent, ("cpuset",))
    if found.version == 1:
        hierarchy = Legacy((("cpuset", found.parent),))
    hierarchy.make(Linux(), "bench-cpuset")
    with Cgroup("bench-cpuset", hierarchy) as box:
        Path(box.path("cpuset"), "cpuset.cpus").write_text(last)
        child = run(box, "-c", "import time; time.sleep(60)")
        allowed = sorted(os.sched_getaffinity(child.pid))
        child.stop()
    return f"asked for {last}, allowed {allowed}"


def pressure(box: Cgroup) -> str:
    """Let two processes wait for one another."""
    file = Path(box.path(), "cpu.pressure")
    if not file.exists():
        return "version 1 counts it for the whole machine only"
    child = run(box, "-c", f"import os; os.sched_setaffinity(0, {{0}}); {TWO_AT_ONCE}")
    until(lambda: len(box.pids()) == 2)
    before = waited_us(file)
    time.sleep(3)
    waited = waited_us(file) - before
    box.kill()
    child.stop()
    return f"somebody waited for {waited / 3e4:.0f} % of the time"


def waited_us(file: Path) -> int:
    """Return for how long somebody had to wait [microseconds]."""
    return int(file.read_text().splitlines()[0].rpartition("=")[2])


if __name__ == "__main__":
    main()

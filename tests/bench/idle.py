"""python -m tests.bench.idle: many idle containers, and what the last of them costs.

How long the first and the last of them take to start (medians of twenty), and the
memory of a monitor: its proportional set size (PSS), in which a page that n processes
share counts for 1/n.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from labkit.host import probe
from labkit.linux.proc import process
from labkit.runtime.fork_server import Monitored
from tests.bench.__main__ import a_place
from tests.bench.served import Served, served

SOME = 20


def main() -> int:
    """Start them, measure, end them, print."""
    parser = argparse.ArgumentParser("idle", description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    with a_place() as folder, served(folder, probe()) as one:
        boxes: list[Monitored] = []
        try:
            taken = [start(one, number, boxes) for number in range(count)]
            sizes = [pss_kib(pid) for pid in monitors(one)]
        finally:
            for box in boxes:
                box.kill()
            for box in boxes:
                box.wait_until_gone()
    first, last = (statistics.median(part) for part in (taken[:SOME], taken[-SOME:]))
    print(f"{count} idle containers")
    print(f"the first {SOME} start in {first * 1e3:6.1f} ms")
    print(f"the last {SOME} start in  {last * 1e3:6.1f} ms: {last / first:.2f} times")
    print(f"a monitor has {statistics.mean(sizes):.0f} KiB (PSS)")
    return 0


def start(one: Served, number: int, boxes: list[Monitored]) -> float:
    """Start one more, and return the seconds it took."""
    request = one.request(f"idle{number}", ["/bin/sleep", "100000"])
    begin = time.perf_counter()
    boxes.append(one.server.start(request))
    return time.perf_counter() - begin


def monitors(one: Served) -> list[int]:
    """Return the pids of all monitors that have a container."""
    pid = one.server.pid
    listing = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    children = [int(child) for child in listing.split()]
    named = [one for one in children if process(one).name == "labkit:monitor"]
    return named[:-1]  # the last one is ready


def pss_kib(pid: int) -> int:
    """Return the proportional set size of a process."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1])


if __name__ == "__main__":
    raise SystemExit(main())

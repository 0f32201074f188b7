"""python -m tests.bench.many: thousands of containers, some at once; nothing may stay.

Prints, again and again, what this machine has of ours: processes, descriptors of the
fork server, cgroups, mounts, and the server's memory. All of it must stay what it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from labkit.host import probe
from labkit.plan import handle
from labkit.runtime.fork_server import Monitored
from tests.bench.__main__ import a_place
from tests.bench.served import Served, served
from tests.support.ours import cgroups

OURS = "labkit-many"
NAMES = ("processes", "descriptors", "cgroups", "mounts", "records", "KiB")


def main() -> int:
    """Start them by handfuls, look between, and say whether all stayed flat."""
    parser = argparse.ArgumentParser("many", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=50)
    given = parser.parse_args()
    with a_place() as folder, served(folder, probe()) as one:
        handful(one, given.at_once)
        before, begin = counted(one), time.monotonic()
        print("started ", *(f"{name:>12}" for name in NAMES))
        row(0, before)
        for done in range(0, given.count, given.at_once):
            handful(one, given.at_once)
            if done % (given.at_once * 20) == 0:
                row(done + given.at_once, counted(one))
        after = counted(one)
    row(given.count, after)
    seconds = time.monotonic() - begin
    print(f"{given.count / seconds:.0f} containers a second")
    # Python's own memory may breathe by some pages.
    flat = after[:-1] == before[:-1] and after[-1] < before[-1] + 1024
    print("flat" if flat else "NOT flat", file=sys.stderr)
    return 0 if flat else 1


def handful(one: Served, count: int) -> None:
    """Start some, all of which run at once, and end them."""
    boxes: list[Monitored] = []
    for number in range(count):
        boxes.append(one.start(f"many{number}", ["/bin/sleep", "1000"]))
    for box in boxes:
        box.kill()
    for box in boxes:
        box.wait_until_gone()


def counted(one: Served) -> tuple[int, ...]:
    """Return how much of each there is now."""
    time.sleep(0.3)  # until the server has a monitor ready again
    pid = one.server.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    mounts = Path("/proc/self/mountinfo").read_text().count("\n")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return (
        len(children),
        len(os.listdir(f"/proc/{pid}/fd")),
        sum(path.rpartition("/")[2].startswith(OURS) for path in cgroups()),
        mounts,
        len(handle.records()),
        pages * 4,
    )


def row(started: int, numbers: tuple[int, ...]) -> None:
    """Print a line of the table."""
    print(f"{started:8}", *(f"{number:12}" for number in numbers), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

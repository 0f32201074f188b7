"""No way out, but a way to take all: processes, descriptors, memory."""

from __future__ import annotations

import os
import signal

from labkit.linux import Linux
from labkit.primitives.limits import SetRlimits
from tests.escapes.book import Attack, without
from tests.escapes.outside import Outside
from tests.escapes.processes import does, say
from tests.kernel.bundles import Bundle, with_cgroup

PROCESSES, TRIED = 32, 200
FILES = 64
SHM_MB = 1


def by_a_fork_bomb(bundle: Bundle, outside: Outside) -> bool:
    """More processes than it was given."""
    with_cgroup(bundle, "bomb")
    return int(does(bundle, _fork)) > PROCESSES


def by_many_descriptors(bundle: Bundle, outside: Outside) -> bool:
    """More open files than it was given."""
    return int(does(bundle, _open)) > FILES


def by_filling_shared_memory(bundle: Bundle, outside: Outside) -> bool:
    """A file system in memory, filled up."""
    said = bundle.run("sh", "-c", "dd if=/dev/zero of=/dev/shm/f bs=1M count=4; "
                      "stat -c %s /dev/shm/f")  # fmt: skip
    return int(said.split()[-1]) > SHM_MB << 20


def _fork(linux: Linux) -> None:
    made = []
    try:
        while len(made) < TRIED:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            made.append(pid)
    except BlockingIOError:
        pass  # EAGAIN: as far as it gets
    say(str(len(made)))


def _open(linux: Linux) -> None:
    opened = 0
    try:
        while opened < TRIED:
            os.dup(0)
            opened += 1
    except OSError:
        pass  # EMFILE: as far as it gets
    say(str(opened))


def _limit_pids(bundle: Bundle) -> None:
    bundle.linux["resources"].pop("pids")


def _any_size(bundle: Bundle) -> None:
    for row in bundle.document["mounts"]:
        row["options"] = [o for o in row.get("options", ()) if o != f"size={SHM_MB}m"]


ATTACKS = (
    Attack("a fork bomb", "since 1971", by_a_fork_bomb, {"pids.max": _limit_pids}),
    Attack(
        "descriptors without end",
        "since 1971",
        by_many_descriptors,
        {"SetRlimits": without(SetRlimits)},
    ),
    Attack(
        "memory by /dev/shm",
        "since containers have a tmpfs",
        by_filling_shared_memory,
        {"size=": _any_size},
    ),
)

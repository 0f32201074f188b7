"""No way out, but a way to take all: processes, descriptors, memory, files.

Each file takes a piece of Linux's own memory, which counts as the container's; so it is
memory.max that stops a container which makes files in memory without end.

Left out: the inodes of a disk. A container that may write to its root can take all that
the disk's file system has, as with other engines: no wall of a container's own stands
there, only a quota of the file system would (project quotas of XFS and ext4).
"""

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
MEMORY_MB, NEW_FILES = 24, 50_000  # a file in memory is about a KiB of Linux's own


def by_a_fork_bomb(bundle: Bundle, outside: Outside) -> bool:
    """More processes than it was given."""
    with_cgroup(bundle, "bomb")
    bundle.linux["resources"].pop("memory")  # it would be a wall, too
    return int(does(bundle, _fork)) > PROCESSES


def by_many_descriptors(bundle: Bundle, outside: Outside) -> bool:
    """More open files than it was given."""
    return int(does(bundle, _open)) > FILES


def by_filling_shared_memory(bundle: Bundle, outside: Outside) -> bool:
    """A file system in memory, filled up."""
    said = bundle.run("sh", "-c", "dd if=/dev/zero of=/dev/shm/f bs=1M count=4; "
                      "stat -c %s /dev/shm/f")  # fmt: skip
    return int(said.split()[-1]) > SHM_MB << 20


def by_files_without_end(bundle: Bundle, outside: Outside) -> bool:
    """More files, all of them empty, than its memory is for."""
    with_cgroup(bundle, "files")
    return does(bundle, _make_files).endswith("all")


def _make_files(linux: Linux) -> None:
    for number in range(NEW_FILES):
        os.close(os.open(f"/dev/shm/{number}", os.O_CREAT | os.O_WRONLY))
    say("all")


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


def _any_memory(bundle: Bundle) -> None:
    bundle.linux["resources"].pop("memory")


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
    Attack(
        "files without end",
        "since containers have a tmpfs",
        by_files_without_end,
        {"memory.max": _any_memory},
    ),
)

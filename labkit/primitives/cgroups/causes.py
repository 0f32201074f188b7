"""Causes: why a process of a group ended, with the limit by its name. Chapter 03.

A process that Linux kills for memory gets SIGKILL, as from anyone: only the group's
counters tell the difference. They are compared with those of the time before.
"""

from __future__ import annotations

from labkit.plan.events import Exit
from labkit.primitives.cgroups.amounts import size_text
from labkit.primitives.cgroups.reading import CgroupReading


def cause_of(
    ended: Exit,
    before: CgroupReading,
    now: CgroupReading,
    memory_file: str = "memory.max",
    *,
    by_us: bool = False,
) -> str:
    """Say why a process ended, from its group's counters before and after.

    Args: ended [how]; before, now [readings of its group]; memory_file [the limit's
        file, as this machine names it]; by_us [the group was killed as a whole].
    Returns: one sentence, without pids.
    """
    if now.oom_kills > before.oom_kills:
        return (
            f"{ended}: {_out_of_memory(ended, now, memory_file)}; "
            f"oom_kill went from {before.oom_kills} to {now.oom_kills}"
        )
    refused = now.pids_refused - before.pids_refused
    if refused > 0:
        times = "a fork was" if refused == 1 else f"{refused} forks were"
        return f"{ended}: {times} refused with EAGAIN, at pids.max = {now.pids_limit}"
    who = "somebody sent it" if ended.signal else "it ended by itself"
    who = "the whole cgroup was killed" if by_us and ended.signal == "SIGKILL" else who
    return f"{ended}: {who}; no limit of its cgroup was reached"


def _out_of_memory(ended: Exit, now: CgroupReading, memory_file: str) -> str:
    # A shell outlives the child that was killed and ends with a code of its own.
    who = "it" if ended.signal == "SIGKILL" else "a process of its cgroup"
    limit = now.memory_limit_bytes
    if limit is not None and now.memory_peak_bytes >= limit:
        return f"{who} touched more than {memory_file} = {size_text(limit)}"
    own = "no limit" if limit is None else size_text(limit)
    return f"memory ran out above the cgroup ({memory_file} = {own}): Linux chose {who}"

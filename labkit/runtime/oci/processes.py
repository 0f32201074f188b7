"""The verb ps: which processes a container has, as this host counts them."""

from __future__ import annotations

import json
import os
import sys
import time

from labkit.errors import DocumentError
from labkit.runtime.oci import groups
from labkit.runtime.oci.container import Container
from labkit.runtime.oci.listing import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call

_COLUMNS = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


def ps(call: Call) -> None:
    """List the processes of a container.

    labkit-oci ps [options] CONTAINER

      -f, --format FORMAT  table or json: then only their numbers
    """
    given = call.given
    container = Container(call.root, given.word(0, "the container's name"))
    if len(given.words) > 1:
        # runc hands these to ps(1).
        raise DocumentError(
            f"ps {' '.join(given.words[1:])}: options of ps(1) aren't passed on",
            "labkit-oci ps --format json, and ps -o ... -p PID",
        )
    found = groups.pids(container.read().cgroups)
    if given.text("format", "table") == "json":
        print(json.dumps(found))
    else:
        rows = [row for pid in found if (row := _row(pid))]
        sys.stdout.write(table([_COLUMNS, *rows]))


def _row(pid: int) -> list[str]:
    # As `ps -ef` has it; empty when the process has just ended.
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().rpartition(")")
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            command = file.read().rstrip("\0").replace("\0", " ")
        uid = os.stat(f"/proc/{pid}").st_uid
    except (FileNotFoundError, ProcessLookupError):
        return []
    fields = rest.split()  # index 0 is field 3 of proc_pid_stat(5)
    ticks = os.sysconf("SC_CLK_TCK")
    busy_s = (int(fields[11]) + int(fields[12])) // ticks
    began = time.localtime(_boot_s() + int(fields[19]) / ticks)
    spent = f"{busy_s // 3600:02}:{busy_s // 60 % 60:02}:{busy_s % 60:02}"
    shown = command or f"[{name.partition('(')[2]}]"
    started = time.strftime("%H:%M", began)
    return [
        _user(uid),
        str(pid),
        fields[1],
        "0",
        started,
        _tty(fields[4]),
        spent,
        shown,
    ]


def _user(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _boot_s() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _tty(number: str) -> str:
    device = int(number)
    return f"pts/{os.minor(device)}" if os.major(device) in range(136, 144) else "?"

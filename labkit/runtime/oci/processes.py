"""The verb ps: which processes a container has, as this host counts them."""

from __future__ import annotations

import json
import os
import sys
import time

from labkit.errors import DocumentError, HostError
from labkit.runtime.oci import groups
from labkit.runtime.oci.container import Container
from labkit.runtime.oci.listing import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.command import Call

_COLUMNS = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]


def ps(call: Call) -> None:
    """List the processes of a container.

    labkit-oci ps [options] CONTAINER [options of ps(1)]

      -f, --format FORMAT  table or json: then only their numbers
    """
    given = call.given
    container = Container(call.root, given.word(0, "the container's name"))
    found = groups.pids(container.read().cgroups)
    if given.text("format", "table") == "json":
        print(json.dumps(found))
    elif len(given.words) > 1:
        sys.stdout.write(_chosen(_said_by_ps(given.words[1:]), found))
    else:
        rows = [row for pid in found if (row := _row(pid))]
        sys.stdout.write(table([_COLUMNS, *rows]))


def _said_by_ps(options: list[str]) -> list[str]:
    import subprocess

    from labkit.runtime.oci.machine import PATH

    environment = {"PATH": PATH, **os.environ}
    try:
        done = subprocess.run(["ps", *options], env=environment, capture_output=True)
    except FileNotFoundError:
        raise HostError("ps: it isn't installed", "apt-get install procps") from None
    said = (done.stdout or done.stderr).decode(errors="replace").splitlines() or [""]
    if done.returncode != 0 or "PID" not in said[0].split():
        raise DocumentError(
            f"ps {' '.join(options)}: {said[0] or 'says nothing'}",
            "options with which ps(1) prints a column PID, as -ef or aux",
        )
    return said


def _chosen(lines: list[str], pids: list[int]) -> str:
    # The lines that are about the container's processes, below their headline.
    headline, *rows = lines
    column, wanted = headline.split().index("PID"), set(map(str, pids))
    kept = [
        row for row in rows if wanted.intersection(row.split()[column : column + 1])
    ]
    return "".join(f"{line}\n" for line in (headline, *kept))


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

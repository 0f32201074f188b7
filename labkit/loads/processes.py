"""A fork bomb that can't take the machine down. Chapter 03.

    python processes.py --seconds 3

Every process forks, and so do its children: 1, 2, 4, 8 ... Three things hold it,
because a limit may be missing where one is expected:

    it doesn't start in a cgroup without a pids limit of at most MOST
    every try takes a token from a pipe that was filled once: TRIES in all
    all of them end when the first one does, however that ends
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from pathlib import Path

MOST = 512
TRIES = 400
PAUSE_S = 0.1


def main() -> None:
    """Start the bomb, and say what became of it, until the time is over."""
    wanted = _arguments()
    limit = pids_limit()
    if limit is None or limit > MOST:
        sys.exit(f"refused: this cgroup has no pids limit of at most {MOST}")
    tokens, alive, told = os.pipe(), os.pipe(), os.pipe()
    os.write(tokens[1], b"." * TRIES)
    os.set_blocking(tokens[0], False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies: nobody waits for them
    if os.fork() == 0:
        os.close(alive[1])  # so that only the first process keeps it open
        bomb(tokens[0], alive[0], told[1])
    report(told[0], wanted.seconds)


def bomb(tokens: int, alive: int, told: int) -> None:
    """Fork, and let the child do the same; wait for the end when nothing is left."""
    os.write(told, b"+")
    while _take(tokens):
        try:
            if os.fork() == 0:
                os.write(told, b"+")
        except BlockingIOError:  # EAGAIN: pids.max
            os.write(told, b"-")
        if select.select([alive], [], [], PAUSE_S)[0]:
            os._exit(0)  # end-of-file: the first process is gone
    os.read(alive, 1)
    os._exit(0)


def report(told: int, seconds: float) -> None:
    """Count what the others tell, and print it a few times a second."""
    end, started, refused = time.monotonic() + seconds, 1, 0
    while time.monotonic() < end:
        if select.select([told], [], [], PAUSE_S)[0]:
            news = os.read(told, TRIES)
            started, refused = started + news.count(b"+"), refused + news.count(b"-")
            print(f"{started} processes, {refused} forks refused", flush=True)
            time.sleep(PAUSE_S)


def pids_limit() -> int | None:
    """Return pids.max of this process's own cgroup; None without one."""
    directory = _pids_directory()
    text = (directory / "pids.max").read_text().strip() if directory else "max"
    return None if text == "max" else int(text)


def _pids_directory() -> Path | None:
    rows = (line.split(":", 2) for line in _lines("/proc/self/cgroup"))
    paths = {name: path for _, names, path in rows for name in names.split(",")}
    for line in _lines("/proc/self/mountinfo"):
        words, (fstype, _, options) = line.split(), line.split(" - ")[1].split(" ", 2)
        own_tree = fstype == "cgroup" and "pids" in options.split(",")
        one_tree = fstype == "cgroup2" and "pids" not in paths
        path = paths.get("pids" if own_tree else "")
        if path is not None and (own_tree or one_tree):
            directory = Path(words[4]) / os.path.relpath(path, words[3])
            return directory if (directory / "pids.max").exists() else None
    return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _take(tokens: int) -> bool:
    try:
        return bool(os.read(tokens, 1))
    except BlockingIOError:  # EAGAIN: the pipe is empty
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="fork, and let the children fork")
    parser.add_argument("--seconds", type=float, default=3, help="how long in all")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Touch memory page by page, at a pace that can be watched. Chapter 03.

    python memory.py --mebibytes 400 --per-second 60

Linux counts memory when it is touched, not when it is asked for. Each line says what is
held; when a limit ends the program, the last line tells how far it came.
"""

from __future__ import annotations

import argparse
import mmap
import time

MEBIBYTE = 1024 * 1024


def main() -> None:
    """Touch one MiB after another, then hold them."""
    wanted = _arguments()
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, wanted.mebibytes * MEBIBYTE, private)  # nothing counts yet
    # Huge pages would be counted 2 MiB at a time, before they are touched.
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    start = time.monotonic()
    for held in range(1, wanted.mebibytes + 1):
        touch(memory, (held - 1) * MEBIBYTE)
        print(f"holding {held} MiB", flush=True)
        if wanted.per_second:
            in_time = start + held / wanted.per_second
            time.sleep(max(0.0, in_time - time.monotonic()))
    time.sleep(wanted.hold)


def touch(memory: mmap.mmap, start: int) -> None:
    """Write one byte into each page of a MiB: the whole page is ours from then on."""
    for page in range(start, start + MEBIBYTE, mmap.PAGESIZE):
        memory[page] = 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="touch memory page by page")
    parser.add_argument("--mebibytes", type=int, default=400, help="how many in all")
    parser.add_argument("--per-second", type=float, default=0, help="0: no pace")
    parser.add_argument("--hold", type=float, default=0, help="seconds at the end")
    return parser.parse_args()


if __name__ == "__main__":
    main()

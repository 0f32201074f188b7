"""Write to a disk as fast as it takes it, past the cache. Chapter 03.

    python disk.py --directory /var/lib/labkit --seconds 3

O_DIRECT goes past the page cache; where a file system hasn't got it, fsync follows each
write. The file has no name (O_TMPFILE), so nothing is left however the program ends.
"""

from __future__ import annotations

import argparse
import errno
import mmap
import os
import time

BLOCK = 256 * 1024
BLOCKS = 256  # then it begins again: 64 MiB of disk are enough


def main() -> None:
    """Write blocks until the time is over; a line for each interval."""
    wanted = _arguments()
    fd, direct = open_without_a_name(wanted.directory)
    block = mmap.mmap(-1, BLOCK)  # O_DIRECT takes memory that begins at a page
    block.write(b"labkit\n" * (BLOCK // 7))
    start = begun = time.monotonic()
    written, number = 0, 0
    while (now := time.monotonic()) < start + wanted.seconds:
        written += os.pwrite(fd, block, number % BLOCKS * BLOCK)
        number += 1
        if not direct:
            os.fsync(fd)
        if now - begun >= wanted.every:
            rate = written / (now - begun) / 1024**2
            print(f"{now - start:5.1f} s: {rate:.1f} MiB/s", flush=True)
            begun, written = now, 0


def open_without_a_name(directory: str) -> tuple[int, bool]:
    """Return a descriptor of a file in no directory, and whether it is direct."""
    flags = os.O_RDWR | os.O_TMPFILE
    try:
        return os.open(directory, flags | os.O_DIRECT, 0o600), True
    except OSError as refused:
        if refused.errno != errno.EINVAL:  # this file system always has a cache
            raise
        return os.open(directory, flags, 0o600), False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="write past the cache")
    parser.add_argument("--directory", default=".", help="on the disk to write to")
    parser.add_argument("--seconds", type=float, default=3, help="how long in all")
    parser.add_argument("--every", type=float, default=0.5, help="seconds for a line")
    return parser.parse_args()


if __name__ == "__main__":
    main()

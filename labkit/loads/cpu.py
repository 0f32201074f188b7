"""Compute without a pause, and say how fast. Chapter 03.

    python cpu.py --seconds 5

Frozen, it stops in the middle of a sum and never knows; throttled, it is slower.
"""

from __future__ import annotations

import argparse
import time

CHUNK = 20_000


def main() -> None:
    """Add numbers until the time is over; a line for each interval."""
    wanted = _arguments()
    start = time.monotonic()
    while (begun := time.monotonic()) < start + wanted.seconds:
        additions = work(begun + wanted.every)
        now = time.monotonic()
        rate = additions / (now - begun) / 1e6
        print(f"{now - start:5.1f} s: {rate:.1f} million additions/s", flush=True)


def work(until: float) -> int:
    """Add numbers until a moment; return how many additions it were."""
    additions = 0
    while time.monotonic() < until:
        sum(range(CHUNK))
        additions += CHUNK
    return additions


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="compute without a pause")
    parser.add_argument("--seconds", type=float, default=5, help="how long in all")
    parser.add_argument("--every", type=float, default=0.5, help="seconds for a line")
    return parser.parse_args()


if __name__ == "__main__":
    main()

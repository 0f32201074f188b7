"""The cases of podman_cases.sh, and in which of them our runtime isn't like crun."""

from __future__ import annotations

from pathlib import Path

_BEGINS = "#: "


def _read(text: str) -> tuple[str, dict[str, str]]:
    preamble, *parts = text.split(f"\n{_BEGINS}")
    split = (part.partition("\n") for part in parts)
    return preamble, {name: script for name, _, script in split}


PREAMBLE, CASES = _read(Path(__file__).with_suffix(".sh").read_text())

# case -> what crun prints, what we print, and why
DIFFERENCES: dict[str, tuple[tuple[str, str, str], ...]] = {}

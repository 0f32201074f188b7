"""my_progress.json: what the learner predicted, passed, and looked up.

It lies beside my_container.py and survives everything that the kernel doesn't. A task
that has passed stays passed. A file that can't be read is set aside, never lost.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labkit import state
from labkit.course import work
from labkit.course.verdict import Verdict, Word

FILE = "my_progress.json"
_SEED = "LABKIT_SEED"
_PARTS = ("predictions", "verdicts", "hints")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a learner is with one task; `word` is None before the first check."""

    word: Word | None = None
    observed: str = ""
    hints: int = 0  # how many were looked at
    checks: int = 0


def predict(id: str, choice: str) -> None:
    """Record what the learner expects; a new choice replaces the old one."""
    with _changing() as kept:
        kept["predictions"][id] = {"choice": choice, "time": _now()}


def prediction(id: str) -> str | None:
    """Return what the learner expected, or None."""
    found = _read()["predictions"].get(id)
    return None if found is None else str(found["choice"])


def note(verdict: Verdict) -> None:
    """Record a verdict. What has passed once stays passed."""
    with _changing() as kept:
        old = kept["verdicts"].get(verdict.exercise, {})
        checks = old.get("checks", 0) + 1
        if old.get("word") == Word.PASSED and not verdict.passed:
            kept["verdicts"][verdict.exercise] = {**old, "checks": checks}
            return
        kept["verdicts"][verdict.exercise] = {
            "word": verdict.word,
            "observed": verdict.observed,
            "points": verdict.earned,
            "checks": checks,
            "time": _now(),
        }


def note_hint(exercise: str, level: int) -> None:
    """Record that a hint was looked at."""
    with _changing() as kept:
        kept["hints"][exercise] = max(level, kept["hints"].get(exercise, 0))


def standing(exercise: str) -> Standing:
    """Return how far the learner is with one task."""
    kept = _read()
    verdict = kept["verdicts"].get(exercise, {})
    word = verdict.get("word")
    return Standing(
        None if word is None else Word(word),
        verdict.get("observed", ""),
        kept["hints"].get(exercise, 0),
        verdict.get("checks", 0),
    )


def seed_text(exercise: str) -> str:
    """Return what a task's surprises are made from: another text at each attempt.

    With LABKIT_SEED it is the same at each attempt, so that a failure can be repeated.
    """
    if fixed := os.environ.get(_SEED):
        return f"{fixed}/{exercise}"
    with _changing() as kept:
        own = kept.setdefault("seed", secrets.token_hex(8))
    return f"{own}/{exercise}/{standing(exercise).checks}"


@contextmanager
def _changing() -> Iterator[dict[str, Any]]:
    # Under a lock, because two notebooks may be open, each with a kernel of its own.
    with state.lock("progress"):
        kept = _read()
        yield kept
        work.write(FILE, json.dumps(kept, indent=1, sort_keys=True) + "\n")


def _read() -> dict[str, Any]:
    path = work.folder() / FILE
    try:
        kept = json.loads(path.read_text())
        for part in _PARTS:
            kept.setdefault(part, {}).items()
    except FileNotFoundError:
        return {part: {} for part in _PARTS}
    except (ValueError, AttributeError) as damage:  # no JSON, or not the lab's
        return _set_aside(damage)
    return dict(kept)


def _set_aside(damage: Exception) -> dict[str, Any]:
    path = work.folder() / FILE
    number = 1
    while (aside := path.with_suffix(f".damaged-{number}.json")).exists():
        number += 1
    os.rename(path, aside)
    warnings.warn(
        f"{FILE} can't be read ({damage}): it is kept as {aside.name}, "
        "and a new one begins",
        stacklevel=4,
    )
    return {part: {} for part in _PARTS}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

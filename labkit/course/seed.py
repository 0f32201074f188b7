"""Seed: names, words and numbers that can't be known before a check runs.

The same learner, task and attempt give the same ones. LABKIT_SEED=... fixes them all,
so that a failure can be looked at again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_BEASTS = (
    "badger", "beaver", "crane", "dingo", "egret", "ferret", "gecko", "heron", "ibis",
    "jackal", "kiwi", "lemur", "marten", "newt", "otter", "puffin", "quail", "raven",
    "stoat", "tapir", "urchin", "vole", "walrus", "yak",
)  # fmt: skip


class Seed:
    """A source of surprises. The sentence of a check that passes shows none of them."""

    def __init__(self, text: str) -> None:
        self._random = random.Random(text)

    def __repr__(self) -> str:
        return "Seed()"

    def name(self) -> str:
        """Return a name for a directory, a host or a cgroup: otter-3f2a."""
        return f"{self._random.choice(_BEASTS)}-{self._random.randrange(16**4):04x}"

    def secret(self) -> str:
        """Return a text that nobody can guess."""
        return f"{self._random.getrandbits(64):016x}"

    def number(self, low: int, high: int) -> int:
        """Return a number between two others, both included."""
        return self._random.randint(low, high)

    def shuffled(self, things: Sequence[T]) -> list[T]:
        """Return things in another order."""
        return self._random.sample(things, len(things))

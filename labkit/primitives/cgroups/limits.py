"""Limits: what Linux says it has, after limit() asked for it. Chapter 03.

    box.limit(memory="100000001")     Limits(memory=95.37 MiB): whole pages

The value that counts is the one read back, never the one asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypedDict

from labkit.primitives.cgroups.amounts import size_text
from labkit.primitives.cgroups.forms import Value
from labkit.primitives.cgroups.io_limit import IoLimit
from labkit.values import dataclass

_SIZES = ("memory", "swap")


class Wanted(TypedDict, total=False):
    """What limit() can be asked for; None lifts a limit, what isn't named stays."""

    memory: int | str | None  # bytes, or "256M"
    swap: int | str | None  # bytes; v1 knows 0 and None only
    cpu: float | None  # CPUs: 0.5 is half of one's time
    weight: int | None  # 1 to 10000, its share where CPUs are scarce; None is 100
    pids: int | None  # processes and threads
    io: IoLimit  # IoLimit.on(path, write="8M")


@dataclass(frozen=True, slots=True, repr=False)
class Limits(Mapping[str, Value]):
    """Limits as they were read back, by the names that limit() takes."""

    values_read: tuple[tuple[str, Value], ...] = ()

    __eq__ = Mapping.__eq__  # a mapping of the same is the same

    def __getitem__(self, name: str) -> Value:
        return dict(self.values_read)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.values_read))

    def __len__(self) -> int:
        return len(self.values_read)

    def __repr__(self) -> str:
        shown = (f"{name}={limit_text(name, self[name])}" for name in self)
        return f"Limits({', '.join(shown)})"


def limit_text(name: str, value: Value) -> str:
    """Return one limit's value for people: "256 MiB", "0.5", "no limit"."""
    if value is None or value == ():
        return "no limit"
    if name in _SIZES and isinstance(value, int):
        return size_text(value)
    if isinstance(value, tuple):
        return ", ".join(map(repr, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

"""The matrix of chapter 00: every program on every machine, really run.

    combinations(6, 7)              the slide's matrix of question marks
    try_all(programs, machines)     the same question, answered by running each pair

A machine is a root file system; a program is a line for its shell. Nothing is
simulated: each cell is a process that was started in that root, and its exit code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.linux.views import HostPath
from labkit.plan.plan import Plan
from labkit.primitives.process import Exec
from labkit.primitives.root import Chdir, Chroot
from labkit.text import Text

UNKNOWN, WORKS, FAILS = "?", "works", "fails"


@dataclass(frozen=True, slots=True)
class Matrix:
    """Programs down the side, machines along the top, a word in each cell."""

    programs: tuple[str, ...]
    machines: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]

    def count(self, word: str) -> int:
        """Return how many cells hold a word."""
        return sum(row.count(word) for row in self.cells)

    def text(self) -> Text:
        """Return the table, and in its last line what it adds up to."""
        table = [("", *self.machines)]
        table += [(p, *row) for p, row in zip(self.programs, self.cells, strict=True)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
        return Text("\n".join([*lines, "", self.summary()]))

    def summary(self) -> str:
        """Return what the table adds up to, as a sentence."""
        total = len(self.programs) * len(self.machines)
        sizes = f"{len(self.programs)} x {len(self.machines)} = {total} combinations"
        if self.count(UNKNOWN):
            return f"{sizes}, and nobody knows which of them work"
        return f"{sizes}, {self.count(FAILS)} of them fail"

    def __repr__(self) -> str:
        return str(self.text())


def combinations(programs: int, machines: int) -> Matrix:
    """Return a matrix of question marks: what has to be tried before anybody knows."""
    return Matrix(
        tuple(f"program {n}" for n in range(1, programs + 1)),
        tuple(f"machine {n}" for n in range(1, machines + 1)),
        ((UNKNOWN,) * machines,) * programs,
    )


def try_all(programs: Mapping[str, str], machines: Mapping[str, HostPath]) -> Matrix:
    """Run every program on every machine; return which of them worked.

    Args: programs [name to a line for the machine's shell]; machines [name to the host
        path of a root file system].
    Raises: NotPermitted without CAP_SYS_CHROOT.
    Needs: CAP_SYS_CHROOT in your user namespace.
    """
    cells = tuple(
        tuple(_tried(line, root) for root in machines.values())
        for line in programs.values()
    )
    return Matrix(tuple(programs), tuple(machines), cells)


def try_shipped(
    programs: Mapping[str, str],
    shipped: Mapping[str, HostPath],
    machines: Mapping[str, HostPath],
) -> Matrix:
    """Like `try_all`, but each program brings the root that it was made for.

    Args: shipped [program's name to the host path of its own root]. The machines give
        nothing but their Linux kernel.
    """
    cells = tuple(
        tuple(_tried(line, shipped[name]) for _ in machines)
        for name, line in programs.items()
    )
    return Matrix(tuple(programs), tuple(machines), cells)


def why(line: str, root: HostPath) -> Text:
    """Run one program on one machine; return what it said."""
    return _plan(line, root).run(timeout_s=10).stdout


def _tried(line: str, root: HostPath) -> str:
    try:
        return WORKS if _plan(line, root).run(timeout_s=10).exit.ok else FAILS
    except FileNotFoundError:
        return FAILS  # ENOENT: that machine has not even a shell


def _plan(line: str, root: HostPath) -> Plan:
    return Plan(Chroot(root), Chdir("/"), Exec(["/bin/sh", "-c", line]))

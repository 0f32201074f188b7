"""One command in a container and in a virtual machine, side by side. Chapter 07.

Both have the same files. They are measured here where there is QEMU and a Linux to
boot. Elsewhere a measurement of both that was made before is shown, and called
recorded: one machine's container says nothing about another's virtual machine.

    python -m labkit.vm.beside      measure, and record it for those who can't
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from operator import attrgetter
from pathlib import Path

from labkit import state
from labkit.containers import container
from labkit.errors import HostError
from labkit.host import probe
from labkit.linux.views import HostPath
from labkit.primitives.cgroups import Cgroup
from labkit.rootfs import rootfs
from labkit.text import Text, one_line
from labkit.vm import accelerator, places
from labkit.vm.machine import KVM, TCG, qemu_version
from labkit.vm.once import run_once
from labkit.vm.settings import from_environment

RECORDED = Path(__file__).with_name("recorded.json")
COMMAND = ("uname", "-r")
_TIMEOUT_S = 60
_MIB = 1 << 20
_WORDS = {KVM: "KVM", TCG: "emulated"}
_SECONDS, _BYTES = attrgetter("seconds"), attrgetter("memory_bytes")


@dataclass(frozen=True, slots=True)
class Took:
    """What a command said, and what it took.

    Args: answer; seconds [from the start to the command's end]; memory_bytes [at most;
        0: not measured]; accelerator [of a virtual machine: kvm or tcg].
    """

    answer: str
    seconds: float
    memory_bytes: int
    accelerator: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """The two, as a table; if it isn't from here and now, where it is from, and why."""

    argv: tuple[str, ...]
    container: Took
    machine: Took
    origin: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # No figures: what is saved in a notebook is the same every day.
        return f"{' '.join(self.argv)} in {', in '.join(self._rows()[0][1:3])}"

    def text(self) -> Text:
        """Return the table as text."""
        lines = ["{:16}{:24}{:42}{}".format(*row).rstrip() for row in self._rows()]
        return Text("\n".join([*lines, *self.origin]))

    def _repr_html_(self) -> str:
        from labkit.widgets.html import card, join, page, tag

        rows = join(
            tag(
                "tr",
                tag("th", tag("b", name), scope="row"),
                *(tag("td", w) for w in row),
            )
            for name, *row in self._rows()
        )
        note = " · ".join(self.origin)
        title = "A container beside a virtual machine"
        return page(card("table", title, note, tag("table", tag("tbody", rows))))

    def _rows(self) -> list[tuple[str, ...]]:
        one, other = self.container, self.machine
        kinds = [[], [_WORDS[other.accelerator]]]
        if self.origin:
            kinds = [[*kind, "recorded"] for kind in kinds]
        how = [f" ({', '.join(kind)})" if kind else "" for kind in kinds]
        answers = (one_line(took.answer, 18) for took in (one, other))
        return [
            ("", f"a container{how[0]}", f"a virtual machine{how[1]}", ""),
            (" ".join(self.argv), *answers, ""),
            ("until it ended", *map(_time, (one, other)), _times(_SECONDS, one, other)),
            ("memory at most", *map(_size, (one, other)), _times(_BYTES, one, other)),
        ]


def beside(argv: Sequence[str] = COMMAND) -> Beside:
    """Run a command in a container and in a virtual machine.

    Args: argv [looked for along PATH, in the lab's small Linux].
    Raises: HostError when there can be no virtual machine here, and another command
        than COMMAND was given, of which nothing is recorded.
    Needs: what a container needs.
    """
    argv = tuple(argv)
    contained = in_container(argv)
    try:
        return Beside(argv, contained, in_machine(argv))
    except HostError as impossible:
        if argv != COMMAND:
            raise
        return _recorded(contained, impossible)


def in_container(argv: Sequence[str]) -> Took:
    """Start a container, wait for its end, remove it.

    Raises: what container() and start() raise.
    """
    host = probe()  # found out once, by whoever starts containers
    started = time.perf_counter()
    with container("beside", argv, host=host) as box:
        box.start()
        box.wait(_TIMEOUT_S)
        took_s = time.perf_counter() - started
        group = box.cgroup
        peak = group.snapshot().memory_peak_bytes if isinstance(group, Cgroup) else 0
        return Took(box.output.strip(), took_s, peak)


def in_machine(argv: Sequence[str]) -> Took:
    """Boot a virtual machine for the command, and switch it off.

    Raises: HostError when there is no QEMU, no Linux to boot, or no answer.
    """
    if "LABKIT_VM" in os.environ:
        raise HostError("this is a virtual machine already", "a machine of your own")
    kernel = places.artefact("vmlinux")
    if not kernel.exists():
        raise HostError(
            "there is no Linux to boot",
            "labkit vm build",
            meaning="the lab VM was never built here",
        )

    def start(name: str) -> Took:
        tree = Path(rootfs("alpine").path)
        ran = run_once(kernel, tree, argv, accelerator=name)
        return Took(ran.stdout.strip(), ran.seconds, ran.memory_bytes, name)

    return accelerator.first_that_works(start, from_environment().accelerator)


def record() -> None:
    """Measure here, and write it down for those who can't."""
    in_container(COMMAND)  # once for what is imported and made by the first one
    processors = len(os.sched_getaffinity(0))
    program = qemu_version().partition(" (")[0]
    kept = {
        "recorded": f"{date.today()}, {program}, {processors} processors",
        "container": asdict(in_container(COMMAND)),
        "machine": asdict(in_machine(COMMAND)),
    }
    state.write(HostPath(str(RECORDED)), json.dumps(kept, indent=1) + "\n")


def _recorded(here: Took, impossible: HostError) -> Beside:
    kept = json.loads(RECORDED.read_text())
    origin = (
        f"recorded: {kept['recorded']}",
        f"here and now the container took {_time(here)}",
        f"not measured here: {impossible.message}; {impossible.hint}",
    )
    return Beside(COMMAND, Took(**kept["container"]), Took(**kept["machine"]), origin)


def _time(one: Took) -> str:
    return f"{one.seconds * 1000:.0f} ms" if one.seconds < 1 else f"{one.seconds:.1f} s"


def _size(one: Took) -> str:
    return f"{one.memory_bytes / _MIB:.1f} MiB" if one.memory_bytes else "not measured"


def _times(what: Callable[[Took], float], one: Took, other: Took) -> str:
    return f"{what(other) / what(one):.0f} times" if what(one) else ""


if __name__ == "__main__":
    record()

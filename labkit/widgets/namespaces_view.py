"""NamespacesView: which namespaces two processes share, and which differ. Chapter 04.

    NamespacesView(before, after)                     two frozen readings
    NamespacesView(outside, lambda: Namespaces.of(p)) the second is read once a second

    mount    the tree of mounts        [ outside       ] [ inside, its own ]
    uts      host and domain name      [ one, shared by both               ]

A namespace that both processes are in is one bar across both columns; one that differs
is two boxes. The inode numbers are in the picture only, never in the text: they differ
from run to run. With `processes`, the same picture shows that one process has two PIDs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labkit.linux.flags import NamespaceType
from labkit.linux.views import ContainerPid, HostPid
from labkit.widgets.html import Html, card, chip, join, tag
from labkit.widgets.trouble import trouble
from labkit.widgets.view import PageView

Inodes = Mapping[NamespaceType, int]

HOLDS = {
    NamespaceType.MOUNT: "the tree of mounts",
    NamespaceType.PID: "process numbers",
    NamespaceType.NETWORK: "network cards, addresses, ports",
    NamespaceType.IPC: "message queues, shared memory",
    NamespaceType.UTS: "host name and domain name",
    NamespaceType.USER: "user ids, and who is root",
    NamespaceType.CGROUP: "where /sys/fs/cgroup begins",
    NamespaceType.TIME: "the clock since boot",
}


@dataclass(frozen=True, slots=True)
class TwoPids:
    """One process and its two numbers; `inside` is None when it can't be seen there."""

    name: str
    outside: HostPid
    inside: ContainerPid | None


class NamespacesView(PageView):
    """The eight kinds of namespace of two processes, side by side."""

    def __init__(
        self,
        before: Inodes,
        after: Inodes | Callable[[], Inodes],
        labels: tuple[str, str] = ("outside", "inside"),
        *,
        processes: Sequence[TwoPids] = (),
    ) -> None:
        self._read = after if callable(after) else None
        self._before, self._labels = before, labels
        self._after = after() if callable(after) else after
        self._processes, self._ended = tuple(processes), self._read is None
        self._error = ""
        super().__init__(hz=1.0 if self._read else 0.0)
        self.redraw()

    def __repr__(self) -> str:
        return f"NamespacesView({' and '.join(self._labels)})"

    def text(self) -> str:
        """Return a line for each kind, and one for each process."""
        kinds = [f"{kind.value:8} {self._word(kind)}" for kind in self._before]
        seen = [f"{who.name}: {_visible(who)}" for who in self._processes]
        return "\n".join([self._note(), *kinds, *seen])

    def picture(self, *, numbers: bool, live: bool = False) -> Html:
        """Return the map of the eight kinds, and the processes with two numbers."""
        head = tag(
            "tr", tag("th"), *(tag("th", who, scope="col") for who in self._labels)
        )
        rows = join(self._row(kind, numbers) for kind in self._before)
        kinds = tag("table", tag("thead", head), tag("tbody", rows))
        ended = chip("ended", "", "minus") if self._read and self._ended else None
        pids = self._pids(numbers) if self._processes else None
        title = "What they share, and what not"
        return card(
            "namespaces",
            title,
            self._note(),
            kinds,
            pids,
            trouble(self._error),
            side=ended,
        )

    def follows(self) -> bool:
        """Say whether the second process is still read."""
        return not self._ended

    def read(self) -> bool:
        """Read the second process again; False when it has ended."""
        if self._read is None:
            return False
        self._after = self._read()
        self.redraw()
        return True

    def lose(self, error: Exception) -> None:
        """Keep the last reading: the process has ended (ENOENT, ESRCH)."""
        self._ended = True
        self._error = "" if isinstance(error, OSError) else str(error)
        self.redraw()

    def _differs(self, kind: NamespaceType) -> bool:
        return self._before[kind] != self._after.get(kind)

    def _word(self, kind: NamespaceType) -> str:
        return "differs" if self._differs(kind) else "shared"

    def _note(self) -> str:
        differ = [kind.value for kind in self._before if self._differs(kind)]
        if not differ:
            return f"all {len(self._before)} are shared"
        return f"{len(differ)} of {len(self._before)} differ: {', '.join(differ)}"

    def _row(self, kind: NamespaceType, numbers: bool) -> Html:
        holds = tag("span", HOLDS[kind], class_="note")
        name = tag("th", tag("b", kind.value), " ", holds, scope="row")
        inode = _number(self._before[kind], numbers)
        if not self._differs(kind):
            cells = tag("td", tag("div", "one, shared by both", inode), colspan=2)
        else:
            other = _number(self._after.get(kind), numbers)
            own = tag("td", tag("div", "its own", other), class_="own")
            cells = join([tag("td", tag("div", "one", inode)), own])
        state = self._word(kind)
        return tag(
            "tr", name, cells, class_=state, data_key=kind.value, data_flash=state
        )

    def _pids(self, numbers: bool) -> Html:
        rows = join(_pid_row(who, numbers) for who in self._processes)
        title = tag("caption", "One process, two PIDs")
        return tag("table", title, tag("tbody", rows), class_="pids")


def _pid_row(who: TwoPids, numbers: bool) -> Html:
    outside = str(who.outside) if numbers else "a number"
    inside = "not visible" if who.inside is None else str(who.inside)
    seen = "seen" if who.inside is not None else "unseen"
    return tag(
        "tr",
        tag("th", who.name, scope="row"),
        tag("td", tag("div", tag("span", outside, class_="mono num"))),
        tag("td", tag("div", tag("span", inside, class_="mono num")), class_="own"),
        class_=seen,
    )


def _visible(who: TwoPids) -> str:
    return "not visible inside" if who.inside is None else f"PID {who.inside} inside"


def _number(inode: int | None, numbers: bool) -> Html | None:
    return tag("span", str(inode), class_="mono num") if numbers and inode else None

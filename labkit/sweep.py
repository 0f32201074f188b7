"""Find and remove what a kill -9 or a crash left on this host. Layer 5.

    left(host)     what is left, changing nothing
    sweep(host)    remove it, and say what was done

Each handle wrote down, before it was acquired, how to undo it and who owns it. What has
a living owner is never touched. In dependency order, because a directory can't go
before its mounts, nor a mount while a program uses it; cgroups first, because the end
of one is the end of its processes, of frozen ones too:

    monitors -> cgroups -> processes -> mounts -> networks -> directories -> records

Reading order: Leftover, left, sweep, then the finders in that order.
Left out: processes of a container whose outside and inside have both ended, unless a
cgroup holds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labkit import state
from labkit.errors import HostError, LabError, StateError
from labkit.host import Host, probe
from labkit.host.places import VARIABLE
from labkit.linux.flags import MNT
from labkit.linux.proc import mounts, process
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPath
from labkit.plan import handle
from labkit.plan.family import Family
from labkit.plan.handle import Record
from labkit.primitives.cgroups.cgroup import Cgroup
from labkit.primitives.overlay import HALF, remove_tree
from labkit.runtime.burial import KIND, bury, unburied
from labkit.text import Text

NOTHING = Text("left on this host: nothing")

# A directory for each handle of a name.
_FOLDERS = ("overlays", "boxes", "folders", "markers", "checks")


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something of the lab's without a living owner."""

    kind: str
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did with a leftover; the problem when it could not."""

    leftover: Leftover
    problem: LabError | None = None

    def __str__(self) -> str:
        if self.problem is None:
            return f"removed: {self.leftover}"
        return f"not removed: {self.leftover}: {self.problem.message}"


class Report(tuple[Leftover | Swept, ...]):
    """What a look or a sweep found, in order; its text has a line for each."""

    def text(self) -> Text:
        """Return a line for each, or that nothing is left."""
        return Text("\n".join(map(str, self))) if self else NOTHING

    def __repr__(self) -> str:
        return self.text()


def left(host: Host | None = None) -> Report:
    """Return what is left on this host by processes that have ended.

    Args: host [the probe's; None probes].
    Raises: PermissionError when the state is another user's.
    Needs: what reading needs.
    """
    host = host or probe()
    return Report(item.leftover for find in _FINDERS for item in find(host))


def sweep(host: Host | None = None, *, dry_run: bool = False) -> Report:
    """Remove what is left on this host; go on with the rest when something can't be.

    Args: host [the probe's; None probes]; dry_run [True is `left`].
    Returns: what was done, with the problems.
    Raises: HostError when another sweep is running.
    Needs: what making the things needed: root, for what root left.
    """
    host = host or probe()
    if dry_run:
        return left(host)
    with state.lock("sweep"):
        # Found kind by kind: what goes first may take a later one with it.
        return Report(_swept(item) for find in _FINDERS for item in tuple(find(host)))


@dataclass(frozen=True, slots=True)
class _Item:
    leftover: Leftover
    remove: Callable[[], None]


def _swept(item: _Item) -> Swept:
    try:
        item.remove()
    except LabError as problem:
        return Swept(item.leftover, problem)
    return Swept(item.leftover)


def _monitors(host: Host) -> Iterator[_Item]:
    for record in unburied():
        yield _Item(Leftover(KIND, record.name), partial(bury, record))


def _cgroups(host: Host) -> Iterator[_Item]:
    for record in _dead(Cgroup.kind):
        group = Cgroup.of_record(record)
        yield _Item(_leftover_of(group), group.remove)
    # A group whose record is in another state directory can't be told from one whose
    # record is lost: so only the machine's own state goes by the name alone.
    if VARIABLE in os.environ:
        return
    known = {record.name for record in handle.records() if record.kind == Cgroup.kind}
    for group in _all_cgroups(host):
        if group.name not in known and not any(map(_has_notebook, group.pids())):
            yield _Item(_leftover_of(group), group.remove)


def _all_cgroups(host: Host) -> tuple[Cgroup, ...]:
    try:
        return Cgroup.all(host)
    except HostError:
        return ()  # this user can't make any, so none is left


def _leftover_of(group: Cgroup) -> Leftover:
    count = len(group.pids())
    return Leftover(Cgroup.kind, group.name, f"{count} processes" if count else "")


def _has_notebook(pid: int) -> bool:
    # An outside ends with its notebook, a monitor with its container: who has one above
    # belongs to something that lives.
    while pid > 1:
        try:
            found = process(pid)
        except StateError:
            return False  # it has ended
        if found.name in ("labkit:outside", "labkit:monitor"):
            return True
        pid = found.parent
    return False


def _processes(host: Host) -> Iterator[_Item]:
    for record in _dead("child"):
        family = _family_of(record)
        count = len(family.members()) if family else 0
        detail = f"{count} processes" if count else "has ended; its record is left"
        remove = partial(_end_family, record, family)
        yield _Item(Leftover("child", record.name, detail), remove)


def _end_family(record: Record, family: Family | None) -> None:
    if family is not None and not family.end():
        raise StateError(
            f"child {record.name}: a process of it can't end",
            "thaw its cgroup, or wait for the disk; then sweep again",
        )
    record.forget()


def _family_of(record: Record) -> Family | None:
    try:
        return Family.from_json(record.undo)
    except KeyError:
        return None  # written by another version of the lab


def _mounts(host: Host) -> Iterator[_Item]:
    # Two levels down or more: a volume may be mounted where the state itself is.
    home = os.path.realpath(state.location())
    directories = (record.undo.get("directory") for record in _alive())
    kept = [os.path.realpath(path) for path in directories if path]
    for mount in reversed(mounts()):
        below = mount.target.startswith(f"{home}/")
        if not below or "/" not in mount.target.removeprefix(f"{home}/"):
            continue
        if not any(f"{mount.target}/".startswith(f"{path}/") for path in kept):
            remove = partial(Linux().umount2, mount.target, MNT.DETACH)
            name = mount.target.removeprefix(f"{home}/")
            yield _Item(Leftover("mount", name, mount.fstype), remove)


def _networks(host: Host) -> Iterator[_Item]:
    # Imported here, because it takes longer than all the rest and networks are rare.
    from labkit.network import firewall, leftovers

    for lease in leftovers.dead_leases():
        yield _Item(Leftover("lease", lease.container), lease.forget)
    for name, why in leftovers.lost_links():
        yield _Item(Leftover("link", name, why), partial(leftovers.remove_link, name))
    for name, why in leftovers.lost_tables():
        rules = Leftover("rules", f"table ip {name}", why)
        yield _Item(rules, partial(firewall.remove, name))


def _directories(host: Host) -> Iterator[_Item]:
    for record in handle.records():
        if record.owner_alive or record.kind in ("child", KIND, Cgroup.kind):
            continue
        detail = "cannot be read" if record.kind == handle.UNREADABLE else ""
        remove = partial(_remove_recorded, record)
        yield _Item(Leftover(record.kind, record.name, detail), remove)
    # Directories before records, because a record is written before its directory.
    home = Path(state.location())
    paths = [path for folder in _FOLDERS for path in sorted((home / folder).glob("*"))]
    recorded = {record.undo.get("directory") for record in handle.records()}
    for path in paths:
        if str(path).removesuffix(HALF) not in recorded:
            remove = partial(remove_tree, HostPath(str(path)))
            name = os.path.relpath(path, home)
            yield _Item(Leftover("directory", name, "without a record"), remove)


def _remove_recorded(record: Record) -> None:
    if directory := record.undo.get("directory"):
        remove_tree(HostPath(directory))
        remove_tree(HostPath(f"{directory}{HALF}"))
    record.forget()


def _unfinished(host: Host) -> Iterator[_Item]:
    home = Path(state.location())
    for folder in (home, home / "handles", home / "rootfs"):
        halves = state.unfinished(HostPath(str(folder))) if folder.is_dir() else ()
        for half in halves:
            remove = partial(Path(half).unlink, missing_ok=True)
            name = os.path.relpath(half, home)
            yield _Item(Leftover("half a file", name), remove)
    yield from _half_made_roots(home)
    yield from _half_unpacked_layers(home)


def _half_made_roots(home: Path) -> Iterator[_Item]:
    halves = sorted(path for path in (home / "rootfs").glob(".*") if path.is_dir())
    try:
        if halves:
            with state.lock("rootfs", timeout_s=0):
                pass
    except HostError:
        return  # somebody is making one just now
    for path in halves:
        remove = partial(remove_tree, HostPath(str(path)))
        yield _Item(Leftover("half a root", f"rootfs/{path.name}"), remove)


def _half_unpacked_layers(home: Path) -> Iterator[_Item]:
    if (home / "layers").is_dir():
        # Imported here, because few need it and it takes its time.
        from labkit.image.trees import Trees

        trees = Trees.default()
        for name in trees.halves():
            remove = partial(trees.remove_half, name)
            yield _Item(Leftover("half a layer", f"layers/{name}"), remove)


_FINDERS = (
    _monitors,
    _cgroups,
    _processes,
    _mounts,
    _networks,
    _directories,
    _unfinished,
)


def _dead(kind: str) -> Iterator[Record]:
    return (r for r in handle.records() if r.kind == kind and not r.owner_alive)


def _alive() -> Iterator[Record]:
    return (record for record in handle.records() if record.owner_alive)

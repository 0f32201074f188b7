"""Exercise 07, second part: containers in which a wall is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import or_

from labkit.course.attempt import Run, as_root, attempt
from labkit.course.task import Case, Level, Mistake, Question, Task
from labkit.course.verdict import Saw
from labkit.host import Host
from labkit.linux.flags import CLONE, NamespaceType
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare
from labkit.primitives.process import Exec, Fork

FindHoles = Callable[[Linux, HostPid], list[str]]

WANTED = frozenset(NamespaceType) - {NamespaceType.USER, NamespaceType.TIME}
"""The kinds of namespace that a container of root's has for itself."""

_WALLS = tuple(kind for kind in NamespaceType if kind in WANTED)


def check_find_holes(find_holes: FindHoles, case: Case) -> Saw:
    """Look at three containers: one whole, one with a hole, one with several."""
    # Mounts are never shared with the host: what the container mounts would be there.
    walls = [kind for kind in _WALLS if kind is not NamespaceType.MOUNT]
    one, *several = case.seed.shuffled(walls)[: case.seed.number(3, 4)]
    for missing in case.seed.shuffled([(), (one,), tuple(several)]):
        with _container(missing, case.host) as pid, attempt(find_holes, pid) as run:
            _must_name(run, frozenset(missing))
    return run.saw("it named every hole, and none in the container that has none")


def _must_name(run: Run, missing: frozenset[NamespaceType]) -> None:
    run.must(
        isinstance(run.returned, list),
        f"it returned {run.shown}; a list of kinds was asked for",
    )
    found, holes = {str(kind) for kind in run.returned}, set(map(str, missing))
    strange = sorted(found - set(map(str, NamespaceType)))
    run.must(
        not strange,
        f"{', '.join(strange)}: the chapters have another word for it. The link in "
        "/proc/PID/ns is called net, the namespace network",
    )
    run.must(
        found <= set(map(str, WANTED)),
        "user and time are shared by all containers here, on purpose: only the six "
        "kinds of new_world are walls",
    )
    run.must(
        found == holes or found != set(map(str, WANTED - missing)),
        "it names the walls, and not the holes: two links that are equal are one "
        "namespace",
    )
    run.must(found <= holes, f"it names {len(found - holes)} that are walls, not holes")
    run.must(found == holes, f"it found {len(found)} of {len(holes)} holes")


@contextmanager
def _container(missing: tuple[NamespaceType, ...], host: Host) -> Iterator[HostPid]:
    flags = reduce(
        or_, (kind.clone for kind in _WALLS if kind not in missing), CLONE(0)
    )
    own = Plan(as_root(host), Unshare(flags))
    plan = Plan(own, MakePrivate("/"), Fork(), Exec(["sleep", "600"]))
    with plan.fork() as child:
        child.run()
        yield child.pid


FIND_HOLES = Task(
    id="07.2",
    sentence="A neighbour sees what she shouldn't: find the wall that is missing.",
    points=3,
    level=Level.MEDIUM,
    size="about five lines",
    question=Question(
        "Two processes have the same number in /proc/PID/ns/net. Then they …",
        ("share a network", "have equal networks", "have the same address"),
    ),
    hints=(
        "Take a container of the chapter and your notebook: os.readlink of "
        "/proc/PID/ns/uts, for both. When are they equal?",
        'linux.readlink(f"/proc/{pid}/ns/...") tells which namespace a process is in; '
        '"self" in the place of the pid is the process that asks.',
        "For each kind and its link in {'mount': 'mnt', 'network': 'net', ...}: keep "
        "the kind when both links say the same.",
    ),
    functions=("find_holes",),
    check=check_find_holes,
    needs=("namespaces",),
    mistakes=(
        Mistake(
            "names the walls",
            """
def find_holes(linux, pid):
    links = {"mount": "mnt", "pid": "pid", "network": "net", "uts": "uts",
             "ipc": "ipc", "cgroup": "cgroup"}
    return [kind for kind, link in links.items()
            if linux.readlink(f"/proc/{pid}/ns/{link}")
            != linux.readlink(f"/proc/self/ns/{link}")]
""",
            "it names the walls, and not the holes",
        ),
        Mistake(
            "takes the names of the links",
            """
def find_holes(linux, pid):
    return [link for link in ("mnt", "pid", "net", "uts", "ipc", "cgroup")
            if linux.readlink(f"/proc/{pid}/ns/{link}")
            == linux.readlink(f"/proc/self/ns/{link}")] + ["net"]
""",
            "another word for it",
        ),
        Mistake(
            "stops at the first hole",
            """
def find_holes(linux, pid):
    links = {"mount": "mnt", "pid": "pid", "network": "net", "uts": "uts",
             "ipc": "ipc", "cgroup": "cgroup"}
    for kind, link in links.items():
        if (linux.readlink(f"/proc/{pid}/ns/{link}")
                == linux.readlink(f"/proc/self/ns/{link}")):
            return [kind]
    return []
""",
            "it found 1 of",
        ),
        Mistake(
            "goes through everything in /proc/PID/ns",
            """
def find_holes(linux, pid):
    names = {"mnt": "mount", "net": "network"}
    return [names.get(link, link) for link in os.listdir(f"/proc/{pid}/ns")
            if not link.endswith("_for_children")
            and os.readlink(f"/proc/{pid}/ns/{link}")
            == os.readlink(f"/proc/self/ns/{link}")]
""",
            "on purpose",
        ),
    ),
)

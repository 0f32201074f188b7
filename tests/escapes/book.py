"""The escape book: a known way out of a container, and the walls that stand in it.

An attack is tried from inside, for real. Its evidence is read outside: a secret that
was told, a file that changed, a process that died. Each wall is a step of the plan, or
a field of the spec that becomes one, and can be taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from labkit.errors import LabError
from labkit.linux.flags import CAP
from labkit.plan import Plan, Step
from tests.escapes.outside import Outside
from tests.kernel.bundles import Bundle

Wall = Callable[[Bundle], None]
"""Takes the wall away, from a bundle that isn't running yet."""


@dataclass(frozen=True)
class Attack:
    """One way out.

    Args: name; known_as [a CVE, or since when]; out [tries it; True when the evidence
        is there]; walls [by name; each alone stops it].
    """

    name: str
    known_as: str
    out: Callable[[Bundle, Outside], bool]
    walls: Mapping[str, Wall]

    def succeeds(self, bundle: Bundle, outside: Outside) -> bool:
        """Try it; a container that can't be made is no success."""
        try:
            return self.out(bundle, outside)
        except LabError:
            return False

    def __str__(self) -> str:
        return self.name


def without(*kinds: type[Step]) -> Wall:
    """Take steps out of the plan."""

    def remove(bundle: Bundle) -> None:
        for kind in kinds:
            change(bundle, lambda plan, kind=kind: plan.without(kind))

    return remove


def in_another_way(kind: type[Step], other: Callable[[Step], Plan]) -> Wall:
    """Do what steps of a type do in another way."""

    def exchanged(plan: Plan) -> Plan:
        return Plan(
            *(other(one) if isinstance(one, kind) else one for one in plan.steps)
        )

    return lambda bundle: change(bundle, exchanged)


def change(bundle: Bundle, by: Callable[[Plan], Plan]) -> None:
    """Change the bundle's plan once more."""
    before = bundle.change
    bundle.change = lambda plan: by(before(plan))


def no_namespace(kind: str) -> Wall:
    """Leave the container in the host's namespace of a kind."""
    return lambda bundle: bundle.linux["namespaces"].remove({"type": kind})


def no_seccomp(bundle: Bundle) -> None:
    """Let every system call pass."""
    bundle.linux.pop("seccomp", None)


def all_capabilities(bundle: Bundle) -> None:
    """Leave root all that it has."""
    names = [str(cap) for cap in sorted(bundle.host.privilege.capabilities)]
    bundle.process["capabilities"] = {
        name: names for name in ("bounding", "effective", "permitted")
    }


def with_capability(cap: CAP) -> Wall:
    """Leave root one capability more."""

    def add(bundle: Bundle) -> None:
        for names in bundle.process["capabilities"].values():
            names.append(str(cap))

    return add

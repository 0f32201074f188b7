"""What the doctor says about the machine itself: rows of a name and a text."""

from __future__ import annotations

from collections.abc import Iterable

from labkit.host import Host, IdRange, Trial
from labkit.host.surroundings import TOOLS
from labkit.linux.flags import CAP, NamespaceType

_MEGABYTE = 1_000_000
_MAX_NAMES = 6


def facts(host: Host) -> tuple[tuple[str, str], ...]:
    """Return what was found, in the order in which a reader asks.

    Args: host [probed].
    Returns: (name, text); a text is never empty.
    Raises: nothing.
    """
    return (
        ("Linux", f"{host.release} {host.machine}, {host.distribution}, {host.place}"),
        ("you", _who(host)),
        ("namespaces", _namespaces(host)),
        ("cgroups", _cgroups(host)),
        ("overlay", _overlay(host)),
        ("ids", _ids(host)),
        ("swap", f"{host.swap_bytes // _MEGABYTE} MB" if host.swap_bytes else "none"),
        ("state", str(host.state)),
        ("busybox", host.busybox or "no static one installed"),
        ("tools", " ".join(tool.name for tool in host.tools) or "none"),
        ("not here", " ".join(n for n in TOOLS if not host.tool(n)) or "nothing"),
    )


def _who(host: Host) -> str:
    lacks = sorted(host.privilege.lacks)
    if not lacks:
        power = "with every capability"
    elif not host.privilege.capabilities:
        power = "with no capability"
    elif len(lacks) > _MAX_NAMES:
        power = f"with only {_names(host.privilege.capabilities)}"
    else:
        power = f"with every capability but {_names(lacks)}"
    barred = "; no_new_privs is set" if host.privilege.no_new_privs else ""
    return f"{host.user} ({host.privilege}), {power}{barred}"


def _names(capabilities: Iterable[CAP]) -> str:
    return ", ".join(str(one) for one in sorted(capabilities))


def _namespaces(host: Host) -> str:
    kinds = len(host.privilege.kinds)
    inner = [str(kind) for kind in NamespaceType if kind in host.privilege.inner]
    where = f"; already inside another {', '.join(inner)} namespace" if inner else ""
    own = host.trials.failure(Trial.USER_NAMESPACE)
    user = f"no user namespaces: {own}" if own else "user namespaces work"
    limit = host.user_namespaces.limit
    return f"{kinds} kinds; {user} (limit {'none' if limit is None else limit}){where}"


def _cgroups(host: Host) -> str:
    groups = host.cgroups
    ours = {
        f"v{version}": " ".join(
            one.name
            for one in groups.controllers
            if one.parent and one.version == version
        )
        for version in (1, 2)
    }
    foreign = [one.name for one in groups.controllers if not one.parent]
    texts = (
        str(groups),
        *(f"{version}: {names}" for version, names in ours.items() if names),
        f"not yours to change: {' '.join(foreign)}" if foreign else "",
        "yours holds processes, which must move to a leaf" if groups.crowded else "",
    )
    return "; ".join(text for text in texts if text)


def _overlay(host: Host) -> str:
    places = {
        Trial.OVERLAY: "as you are",
        Trial.OVERLAY_IN_USER_NAMESPACE: "in a user namespace",
    }
    works = [text for trial, text in places.items() if host.trials.works(trial)]
    return f"mounts {' and '.join(works)}" if works else "doesn't mount"


def _ids(host: Host) -> str:
    return (
        f"uids {_ranges(host.subordinate_uids)}, gids {_ranges(host.subordinate_gids)}"
        " for containers"
    )


def _ranges(ranges: tuple[IdRange, ...]) -> str:
    return " ".join(f"{one.first}+{one.count}" for one in ranges) or "none"

"""Which packages a program needs to run: fewer than to be installed.

A package depends on its libraries, and also on what sets it up: users, services, a
package manager. Its section in the index tells them apart. So dependencies are followed
into the section of libraries, and into the one that the wanted package itself is in:

    nginx (httpd) ── nginx-common (httpd)         its files
                  ├─ libssl3 (libs) ── libc6      its libraries
                  └─ iproute2 (net)               left out

Spec: Debian Policy, 2.4 Sections, 7.2 Depends.
Left out: a second choice ("a | b"): the first one that the index has is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

LIBRARIES = "libs"
Graph = Mapping[str, Sequence[str]]  # package -> packages that it depends on


def select(
    wanted: Iterable[str], depends: Graph, sections: Mapping[str, str]
) -> list[str]:
    """Return the wanted packages and those that they need to run, sorted.

    Args: wanted [package names]; depends [from `read_depends`]; sections [from
        `read_sections`: package -> section; one without is not in the index].
    """
    kinds = {LIBRARIES} | {sections[name] for name in wanted if name in sections}
    found: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [one for one in depends.get(name, ()) if sections.get(one) in kinds]
    return sorted(found)


def read_depends(text: str) -> dict[str, list[str]]:
    """Read what `apt-cache depends --recurse` prints.

    A package stands at the line's beginning, each of its dependencies below it, and
    below a virtual one, `<httpd>`, those that provide it.
    """
    graph: dict[str, list[str]] = {}
    current: list[str] = []
    settled = False  # by the first of several choices
    for line in text.splitlines():
        if not line.startswith(" "):
            current, settled = graph.setdefault(_plain(line), []), False
            continue
        # PreDepends, too; a bar stands before all choices but the last.
        relation, found, name = line.partition("Depends: ")
        if found:
            real = not name.startswith("<")
            if real and not settled:
                current.append(_plain(name))
            settled = "|" in relation and (real or settled)
    return graph


def read_sections(text: str) -> dict[str, str]:
    """Read package and section from what `apt-cache show` prints."""
    sections: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif key == "Section":
            # Ubuntu puts the archive's component before it: universe/web.
            sections.setdefault(name, value.rpartition("/")[2])
    return sections


def _plain(name: str) -> str:
    # Without the architecture: libc6:amd64.
    return name.strip().partition(":")[0]

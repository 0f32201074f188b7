"""What -v, --mount and --tmpfs say. Chapter 14.

    -v /host:/inside:ro          a bind; a missing host directory is made, as by Docker
    -v data:/inside              a named volume, made when it is first used
    -v /inside                   a volume without a name
    --mount type=bind,source=/host,target=/inside,readonly
    --tmpfs /run:size=64m        memory, gone with the container

Reading order: Mount, read_volume, read_mount, read_tmpfs, in_order.
Spec: docker run, --volume, --mount, --tmpfs.
Left out: volume drivers; SELinux labels (z, Z), which are taken and do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from labkit.errors import DocumentError
from labkit.linux.views import ContainerPath


class Kind(StrEnum):
    """Where a mount's data is."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount that a container asks for."""

    kind: Kind
    source: str  # host path, a volume's name, or "" for one without a name
    target: ContainerPath
    readonly: bool = False
    propagation: str = "rprivate"
    options: tuple[str, ...] = ()  # of a tmpfs: size=, mode=
    make_source: bool = False  # -v makes a missing host directory, --mount doesn't
    seed: bool = True  # a new volume begins with what the image has there

    def __str__(self) -> str:
        how = "ro" if self.readonly else "rw"
        return f"{self.kind} {self.source or '(no name)'} -> {self.target} ({how})"


_NOTHING = ("rw", "z", "Z", "cached", "delegated", "consistent")
_PROPAGATIONS = ("private", "rprivate", "slave", "rslave", "shared", "rshared")
_KEYS = {
    "type": "type",
    "source": "source", "src": "source",
    "target": "target", "dst": "target", "destination": "target",
    "readonly": "readonly", "ro": "readonly",
    "bind-propagation": "propagation",
    "volume-nocopy": "nocopy",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
}  # fmt: skip


def read_volume(text: str) -> Mount:
    """Read what stands behind -v.

    Raises: DocumentError that says what can't be understood.
    """
    parts = text.split(":")
    if not text or len(parts) > 3 or not all(parts):
        raise _unclear("-v", text, "it isn't [host path or name:]path[:options]")
    if len(parts) == 1:
        return Mount(Kind.VOLUME, "", _target("-v", text, text))
    source, target, *rest = parts
    words = rest[0].split(",") if rest else []
    here = source.startswith(("/", "./", "../", "~")) or source in (".", "..")
    propagation = [word for word in words if word in _PROPAGATIONS]
    for word in words:
        if word not in (*_NOTHING, *_PROPAGATIONS, "ro", "nocopy"):
            raise _unclear("-v", text, f"{word!r} is no option")
    return Mount(
        Kind.BIND if here else Kind.VOLUME,
        os.path.abspath(os.path.expanduser(source)) if here else source,
        _target("-v", text, target),
        "ro" in words,
        propagation[-1] if propagation else "rprivate",
        make_source=here,
        seed="nocopy" not in words,
    )


def read_mount(text: str) -> Mount:
    """Read what stands behind --mount: words with commas between them.

    Raises: DocumentError that says what can't be understood.
    """
    given: dict[str, str] = {}
    for word in text.split(","):
        name, _, value = word.strip().partition("=")
        if name not in _KEYS:
            raise _unclear("--mount", text, f"{name!r} is no word of it")
        given[_KEYS[name]] = value or "true"
    try:
        kind = Kind(given.get("type", "volume"))
    except ValueError:
        raise _unclear("--mount", text, f"{given['type']!r} is no type") from None
    source = given.get("source", "")
    if kind is Kind.BIND and not os.path.isabs(source):
        raise _unclear("--mount", text, "a bind has a source: an absolute host path")
    options = tuple(f"{n}={given[n]}" for n in ("size", "mode") if n in given)
    if kind is Kind.TMPFS and source:
        raise _unclear("--mount", text, "a tmpfs has no source")
    return Mount(
        kind,
        source,
        _target("--mount", text, given.get("target", "")),
        given.get("readonly", "false") in ("true", "1"),
        given.get("propagation", "rprivate"),
        options,
        seed=given.get("nocopy", "false") == "false",
    )


def read_tmpfs(text: str) -> Mount:
    """Read what stands behind --tmpfs: a path, and options of mount(8).

    Raises: DocumentError that says what can't be understood.
    """
    target, _, words = text.partition(":")
    options = tuple(filter(None, words.split(",")))
    readonly = "ro" in options
    kept = tuple(word for word in options if word not in ("ro", "rw"))
    return Mount(Kind.TMPFS, "", _target("--tmpfs", text, target), readonly, "", kept)


def in_order(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return mounts so that one inside another comes after it.

    Raises: DocumentError for two at the same place.
    """
    targets = [mount.target for mount in mounts]
    twice = [target for target in targets if targets.count(target) > 1]
    if twice:
        raise DocumentError(
            f"mounts: two are for {twice[0]}",
            "leave one of them out",
            meaning="the second would hide the first",
        )
    return tuple(sorted(mounts, key=lambda mount: mount.target.split("/")))


def _target(option: str, text: str, target: str) -> ContainerPath:
    clean = os.path.normpath(target) if target else ""
    if not clean.startswith("/") or clean.strip("/") == "":
        raise _unclear(option, text, "the place inside is an absolute path, and not /")
    return ContainerPath(clean)


def _unclear(option: str, text: str, reason: str) -> DocumentError:
    return DocumentError(
        f"{option} {text!r}: can't be understood",
        f"{option} {_EXAMPLES[option]}",
        meaning=reason,
    )


_EXAMPLES = {
    "-v": "/host:/inside, -v /host:/inside:ro or -v name:/inside",
    "--mount": "type=bind,source=/host,target=/inside,readonly",
    "--tmpfs": "/run or --tmpfs /run:size=64m",
}

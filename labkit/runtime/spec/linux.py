"""The linux section: namespaces, ids, devices, paths, and what the others hold.

Spec: config-linux.md.
"""

from __future__ import annotations

from labkit.linux.flags import NamespaceType
from labkit.primitives.ids import IdMapping
from labkit.runtime.spec.mounts import id_mapping
from labkit.runtime.spec.node import Node
from labkit.runtime.spec.resources import Resources
from labkit.runtime.spec.seccomp import Seccomp
from labkit.values import dataclass, field

_KINDS = {kind.value: kind for kind in NamespaceType}
_DEVICE_TYPES = {letter: letter for letter in "bcup"}
_PROPAGATIONS = {
    word: word for word in ("", "shared", "slave", "private", "unbindable")
}
_NUMBER = 2**32 - 1
_NANOSECONDS = 999_999_999


@dataclass(frozen=True, slots=True)
class Namespace:
    """One of linux.namespaces: a new one, or the one that a path leads to."""

    type: NamespaceType
    path: str = ""

    @classmethod
    def read(cls, node: Node) -> Namespace:
        """Read one namespace."""
        node.needs("type")
        path = node.text("path")
        if path and not path.startswith("/"):
            hint = "write it from the host's root on, as /proc/42/ns/net"
            raise node.refusal("path", f'"{path}" is no absolute path', hint)
        return cls(node.chosen("type", _KINDS), path)


@dataclass(frozen=True, slots=True)
class Device:
    """One of linux.devices: a file in /dev to be made."""

    path: str
    type: str
    major: int = 0
    minor: int = 0
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0

    @classmethod
    def read(cls, node: Node) -> Device:
        """Read one device."""
        node.needs("path", "type")
        mode = node.number("fileMode", 0, 0o777777)
        return cls(
            node.text("path"),
            node.chosen("type", _DEVICE_TYPES),
            node.integer("major", most=_NUMBER),
            node.integer("minor", most=_NUMBER),
            0o666 if mode is None else mode & 0o7777,
            node.integer("uid", most=_NUMBER),
            node.integer("gid", most=_NUMBER),
        )


@dataclass(frozen=True, slots=True)
class TimeOffset:
    """One of linux.timeOffsets: how much a clock is ahead inside."""

    clock: str
    secs: int
    nanosecs: int

    @classmethod
    def read_all(cls, node: Node) -> tuple[TimeOffset, ...]:
        """Read the section: monotonic and boottime."""
        clocks = ((name, node.one(name, _offset)) for name in ("monotonic", "boottime"))
        return tuple(cls(name, *offset) for name, offset in clocks if offset)


@dataclass(frozen=True, slots=True)
class Personality:
    """linux.personality: LINUX or LINUX32."""

    domain: str

    @classmethod
    def read(cls, node: Node) -> Personality:
        """Read the section."""
        node.needs("domain")
        return cls(node.chosen("domain", {w: w for w in ("LINUX", "LINUX32")}))


@dataclass(frozen=True, slots=True)
class Linux:
    """linux: everything that only Linux has."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: tuple[TimeOffset, ...] = ()
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    sysctl: dict[str, str] = field(default_factory=dict)
    seccomp: Seccomp | None = None
    rootfs_propagation: str = ""
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    personality: Personality | None = None
    mount_label: str = ""

    @classmethod
    def read(cls, node: Node) -> Linux:
        """Read the section.

        Raises: DocumentError for a field that can't be understood.
        """
        propagation = node.chosen("rootfsPropagation", _with_r(_PROPAGATIONS))
        linux = cls(
            node.each("namespaces", Namespace.read),
            node.each("uidMappings", id_mapping),
            node.each("gidMappings", id_mapping),
            node.one("timeOffsets", TimeOffset.read_all) or (),
            node.each("devices", Device.read),
            node.text("cgroupsPath"),
            node.one("resources", Resources.read) or Resources(),
            node.map("sysctl"),
            node.one("seccomp", Seccomp.read),
            propagation,
            node.texts("maskedPaths"),
            node.texts("readonlyPaths"),
            node.one("personality", Personality.read),
            node.text("mountLabel"),
        )
        linux._check(node)
        return linux

    def namespace(self, kind: NamespaceType) -> Namespace | None:
        """Return the namespace of a kind, or None when the container has the host's."""
        return next((one for one in self.namespaces if one.type == kind), None)

    def _check(self, node: Node) -> None:
        kinds = [one.type for one in self.namespaces]
        for index, kind in enumerate(kinds):
            if kind in kinds[:index]:
                place = f"namespaces/{index}/type"
                raise node.refusal(place, f'"{kind}" is there twice', "keep one")
        if self.time_offsets and NamespaceType.TIME not in kinds:
            hint = 'add {"type": "time"} to linux.namespaces'
            problem = "are there without a time namespace"
            raise node.refusal("timeOffsets", problem, hint)


def _offset(node: Node) -> tuple[int, int]:
    secs = node.integer("secs", -(2**63), 2**63 - 1)
    return secs, node.integer("nanosecs", 0, _NANOSECONDS)


def _with_r(words: dict[str, str]) -> dict[str, str]:
    # The specification has the four words; engines write "rslave" as mount(8) does.
    return {**words, **{f"r{word}": word for word in words if word}}

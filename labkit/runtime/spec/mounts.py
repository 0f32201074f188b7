"""Mounts and hooks.

Spec: config.md, Mounts and POSIX-platform Hooks.
"""

from __future__ import annotations

from labkit.linux.views import ContainerId, HostId
from labkit.primitives.ids import IdMapping
from labkit.runtime.spec.node import Node
from labkit.values import dataclass

_IDS = 2**32 - 1


def id_mapping(node: Node) -> IdMapping:
    """Read one line of an id map."""
    node.needs("containerID", "hostID", "size")
    return IdMapping(
        ContainerId(node.integer("containerID", most=_IDS)),
        HostId(node.integer("hostID", most=_IDS)),
        node.integer("size", 1, _IDS),
    )


@dataclass(frozen=True, slots=True)
class Mount:
    """One of mounts: what is seen where in the container."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()

    @classmethod
    def read(cls, node: Node) -> Mount:
        """Read one mount."""
        node.needs("destination")
        mount = cls(
            node.text("destination"),
            node.text("type"),
            node.text("source"),
            node.texts("options"),
            node.each("uidMappings", id_mapping),
            node.each("gidMappings", id_mapping),
        )
        if mount.is_bind and not mount.source:
            raise node.refusal("source", "is missing", "a bind mount needs a source")
        if not mount.is_bind and not mount.type:
            hint = 'name a file system, as "tmpfs", or put "bind" into options'
            raise node.refusal("type", "is missing", hint)
        return mount

    @property
    def is_bind(self) -> bool:
        """Whether it shows what is there already, at a second place."""
        return self.type == "bind" or bool({"bind", "rbind"} & {*self.options})


@dataclass(frozen=True, slots=True)
class Hook:
    """One program of one of hooks."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout_s: int | None = None

    @classmethod
    def read(cls, node: Node) -> Hook:
        """Read one hook."""
        node.needs("path")
        path = node.text("path")
        if not path.startswith("/"):
            hint = "write it from the host's root on"
            raise node.refusal("path", f'"{path}" is no absolute path', hint)
        timeout_s = node.number("timeout", 1)
        return cls(path, node.texts("args"), node.texts("env"), timeout_s)


@dataclass(frozen=True, slots=True)
class Hooks:
    """hooks: programs to run at six moments, in the order of the moments."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()

    @classmethod
    def read(cls, node: Node) -> Hooks:
        """Read the section."""
        return cls(
            node.each("prestart", Hook.read),
            node.each("createRuntime", Hook.read),
            node.each("createContainer", Hook.read),
            node.each("startContainer", Hook.read),
            node.each("poststart", Hook.read),
            node.each("poststop", Hook.read),
        )

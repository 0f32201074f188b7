"""The process section: what runs, as whom, and with which privileges.

Spec: config.md, Process; config-linux.md for what only Linux has.
"""

from __future__ import annotations

from labkit.runtime.spec.node import Node
from labkit.values import dataclass

_IDS = 2**32 - 2  # 2**32 - 1 is "leave it as it is" for setresuid(2)


@dataclass(frozen=True, slots=True)
class User:
    """process.user; ids are the container's."""

    uid: int = 0
    gid: int = 0
    umask: int | None = None
    additional_gids: tuple[int, ...] = ()

    @classmethod
    def read(cls, node: Node) -> User:
        """Read the section."""
        return cls(
            node.integer("uid", most=_IDS),
            node.integer("gid", most=_IDS),
            node.number("umask", most=0o7777),
            node.numbers("additionalGids", most=_IDS),
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """process.capabilities: names as in capabilities(7), for each of the five sets."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()

    @classmethod
    def read(cls, node: Node) -> Capabilities:
        """Read the section."""
        return cls(*(node.texts(name) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One of process.rlimits: "RLIMIT_NOFILE" and its two numbers."""

    type: str
    soft: int
    hard: int

    @classmethod
    def read(cls, node: Node) -> Rlimit:
        """Read one limit."""
        node.needs("type", "soft", "hard")
        found = cls(node.text("type"), node.integer("soft"), node.integer("hard"))
        if found.soft > found.hard:
            hint = "soft is what counts now, hard is how far it may be raised"
            raise node.refusal("soft", "is above hard", hint)
        return found


@dataclass(frozen=True, slots=True)
class ConsoleSize:
    """process.consoleSize, in characters."""

    height: int = 0
    width: int = 0

    @classmethod
    def read(cls, node: Node) -> ConsoleSize:
        """Read the section."""
        return cls(
            node.integer("height", most=0xFFFF), node.integer("width", most=0xFFFF)
        )


@dataclass(frozen=True, slots=True)
class Scheduler:
    """process.scheduler: the words of sched(7)."""

    policy: str
    nice: int = 0
    priority: int = 0
    flags: tuple[str, ...] = ()
    runtime: int = 0
    deadline: int = 0
    period: int = 0

    @classmethod
    def read(cls, node: Node) -> Scheduler:
        """Read the section."""
        node.needs("policy")
        return cls(
            node.text("policy"),
            node.integer("nice", -20, 19),
            node.integer("priority", 0, 99),
            node.texts("flags"),
            *(node.integer(name) for name in ("runtime", "deadline", "period")),
        )


@dataclass(frozen=True, slots=True)
class IoPriority:
    """process.ioPriority: class and level of ioprio_set(2)."""

    kind: str
    priority: int = 0

    @classmethod
    def read(cls, node: Node) -> IoPriority:
        """Read the section."""
        node.needs("class")
        return cls(node.text("class"), node.integer("priority", 0, 7))


@dataclass(frozen=True, slots=True)
class Process:
    """process: the program, its user, its surroundings, its privileges."""

    cwd: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IoPriority | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""

    @classmethod
    def read(cls, node: Node) -> Process:
        """Read the section.

        Raises: DocumentError for a field that can't be understood.
        """
        node.needs("cwd")
        process = cls(
            node.text("cwd"),
            node.texts("args"),
            node.texts("env"),
            node.flag("terminal"),
            node.one("consoleSize", ConsoleSize.read),
            node.one("user", User.read) or User(),
            node.one("capabilities", Capabilities.read),
            node.each("rlimits", Rlimit.read),
            node.flag("noNewPrivileges"),
            node.number("oomScoreAdj", -1000, 1000),
            node.one("scheduler", Scheduler.read),
            node.one("ioPriority", IoPriority.read),
            node.text("apparmorProfile"),
            node.text("selinuxLabel"),
        )
        process._check(node)
        return process

    def _check(self, node: Node) -> None:
        if not self.cwd.startswith("/"):
            hint = "write it from the container's root on, as /work"
            raise node.refusal("cwd", f'"{self.cwd}" is no absolute path', hint)
        for index, entry in enumerate(self.env):
            if "=" not in entry[1:]:
                place = f"env/{index}"
                raise node.refusal(place, f'"{entry}" has no "="', "write NAME=value")
        types = [limit.type for limit in self.rlimits]
        for index, name in enumerate(types):
            if name in types[:index]:
                place = f"rlimits/{index}/type"
                raise node.refusal(place, f"{name} is there twice", "keep one of them")

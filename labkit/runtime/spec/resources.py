"""linux.resources: how much the container may take.

Spec: config-linux.md, Control groups. Sizes are bytes, times microseconds; -1 is none.
"""

from __future__ import annotations

from labkit.runtime.spec.node import Node
from labkit.values import dataclass, field

_MOST_SIGNED = 2**63 - 1
_DEVICE_NUMBER = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Memory:
    """linux.resources.memory [bytes]."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None  # memory and swap together
    swappiness: int | None = None
    disable_oom_killer: bool = False
    check_before_update: bool = False

    @classmethod
    def read(cls, node: Node) -> Memory:
        """Read the section."""
        return cls(
            node.number("limit", -1, _MOST_SIGNED),
            node.number("reservation", -1, _MOST_SIGNED),
            node.number("swap", -1, _MOST_SIGNED),
            node.number("swappiness", 0, 100),
            node.flag("disableOOMKiller"),
            node.flag("checkBeforeUpdate"),
        )


@dataclass(frozen=True, slots=True)
class Cpu:
    """linux.resources.cpu [times in microseconds]."""

    shares: int | None = None
    quota: int | None = None
    burst: int | None = None
    period: int | None = None
    realtime_runtime: int | None = None
    realtime_period: int | None = None
    cpus: str = ""
    mems: str = ""
    idle: int | None = None

    @classmethod
    def read(cls, node: Node) -> Cpu:
        """Read the section."""
        return cls(
            node.number("shares"),
            node.number("quota", -1, _MOST_SIGNED),
            node.number("burst"),
            node.number("period"),
            node.number("realtimeRuntime", -1, _MOST_SIGNED),
            node.number("realtimePeriod"),
            node.text("cpus"),
            node.text("mems"),
            node.number("idle", 0, 1),
        )


@dataclass(frozen=True, slots=True)
class DeviceRate:
    """A limit of one disk: its numbers, and bytes or requests a second, or a weight."""

    major: int
    minor: int
    rate: int

    @classmethod
    def of_rate(cls, node: Node) -> DeviceRate:
        """Read an element of throttle...Device."""
        return cls._read(node, "rate")

    @classmethod
    def of_weight(cls, node: Node) -> DeviceRate:
        """Read an element of weightDevice."""
        return cls._read(node, "weight")

    @classmethod
    def _read(cls, node: Node, name: str) -> DeviceRate:
        node.needs("major", "minor")
        return cls(node.integer("major"), node.integer("minor"), node.integer(name))


@dataclass(frozen=True, slots=True)
class BlockIo:
    """linux.resources.blockIO."""

    weight: int | None = None
    weight_device: tuple[DeviceRate, ...] = ()
    throttle_read_bps_device: tuple[DeviceRate, ...] = ()
    throttle_write_bps_device: tuple[DeviceRate, ...] = ()
    throttle_read_iops_device: tuple[DeviceRate, ...] = ()
    throttle_write_iops_device: tuple[DeviceRate, ...] = ()

    @classmethod
    def read(cls, node: Node) -> BlockIo:
        """Read the section."""
        return cls(
            node.number("weight", 0, 1000),
            node.each("weightDevice", DeviceRate.of_weight),
            node.each("throttleReadBpsDevice", DeviceRate.of_rate),
            node.each("throttleWriteBpsDevice", DeviceRate.of_rate),
            node.each("throttleReadIOPSDevice", DeviceRate.of_rate),
            node.each("throttleWriteIOPSDevice", DeviceRate.of_rate),
        )


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """One of linux.resources.devices; None stands for every number."""

    allow: bool
    type: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"

    @classmethod
    def read(cls, node: Node) -> DeviceRule:
        """Read one rule."""
        kind = node.text("type", "a") or "a"
        access = node.text("access", "rwm") or "rwm"
        if kind not in ("a", "b", "c", "u", "p"):
            raise node.refusal("type", f'"{kind}" is no kind of device', "a, b or c")
        if set(access) - set("rwm"):
            raise node.refusal("access", f'"{access}" has another letter', "r, w and m")
        major, minor = (
            None if number == -1 else number
            for number in (
                node.number(name, -1, _DEVICE_NUMBER) for name in ("major", "minor")
            )
        )
        return cls(node.flag("allow"), kind, major, minor, access)


@dataclass(frozen=True, slots=True)
class HugepageLimit:
    """One of linux.resources.hugepageLimits: "2MB" and bytes."""

    page_size: str
    limit: int

    @classmethod
    def read(cls, node: Node) -> HugepageLimit:
        """Read one limit."""
        node.needs("pageSize", "limit")
        return cls(node.text("pageSize"), node.integer("limit"))


@dataclass(frozen=True, slots=True)
class Resources:
    """linux.resources."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory = Memory()
    cpu: Cpu = Cpu()
    pids_limit: int | None = None
    block_io: BlockIo = BlockIo()
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    unified: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, node: Node) -> Resources:
        """Read the section: `update` reads it from a file of its own."""
        pids = node.one("pids", lambda pids: pids.number("limit", -1, _MOST_SIGNED))
        return cls(
            node.each("devices", DeviceRule.read),
            node.one("memory", Memory.read) or Memory(),
            node.one("cpu", Cpu.read) or Cpu(),
            pids,
            node.one("blockIO", BlockIo.read) or BlockIo(),
            node.each("hugepageLimits", HugepageLimit.read),
            node.map("unified"),
        )

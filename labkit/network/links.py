"""Links, addresses and routes, as steps. Chapter 13.

    LinkUp("lo")                      a namespace begins with a loopback that is off
    AddVeth("left", "right")          a cable: what goes in at one end comes out
    MoveLink("right", pid)            one end into another namespace
    AddBridge("bridge0")              a switch, made of software
    Enslave("left", "bridge0")        the cable's end is one of its ports
    AddAddress("eth0", "10.9.0.2/24") who it is, and who else is on the same wire
    AddRoute("10.9.0.1")              where everything else goes
    ConnectVeth(...)                  veth, move, master and up in one request

Each acts in the network namespace of the process that applies it.

Reading order as above.
Left out: IPv6, VLANs, macvlan; link speeds (tc).
"""

from __future__ import annotations

from typing import ClassVar

from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan.step import After, Requires, Rule, Step, Where
from labkit.primitives.namespaces import Unshare
from labkit.values import dataclass

_NEEDS = "CAP_NET_ADMIN in the owner of the network namespace"


@dataclass(frozen=True, slots=True, repr=False)
class LinkUp(Step):
    """Switch a link on: a new one is off, the loopback of a new namespace as well.

    Args: link [its name, in the namespace of the process that applies this].
    Raises: ENODEV when there is no such link, EPERM without the capability.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: rtnetlink(7), RTM_NEWLINK.
    """

    link: str = "lo"

    man: ClassVar[tuple[str, ...]] = ("rtnetlink(7)", "ip-link(8)")
    needs: ClassVar[str] = _NEEDS

    def describe(self) -> str:
        return f"switch {self.link} on"

    def apply(self, linux: Linux) -> int | None:
        linux.rtnetlink("link set", link=self.link, state="up")
        return None


@dataclass(frozen=True, slots=True, repr=False)
class AddVeth(Step):
    """Make a cable: two links, and what is sent into one comes out of the other.

    Raises: EEXIST when a name is taken, EOPNOTSUPP without the module veth.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: veth(4).
    """

    name: str
    peer: str

    man: ClassVar[tuple[str, ...]] = ("veth(4)", "ip-link(8)")
    needs: ClassVar[str] = _NEEDS

    def describe(self) -> str:
        return f"make a cable with the ends {self.name} and {self.peer}"

    def apply(self, linux: Linux) -> int | None:
        peer = {"ifname": self.peer}
        linux.rtnetlink("link add", ifname=self.name, kind="veth", peer=peer)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class MoveLink(Step):
    """Put a link into the network namespace of another process.

    It arrives switched off and without addresses. The move alone takes 20 ms: Linux
    waits until no processor uses the link any more.

    Args: link; pid [host pid of a process in the other namespace].
    Raises: ENODEV, ESRCH when the process has ended, EINVAL for a link that can't move.
    Needs: CAP_NET_ADMIN in the owners of both namespaces.
    Kernel: rtnetlink(7), IFLA_NET_NS_PID; network_namespaces(7).
    """

    link: str
    pid: HostPid

    man: ClassVar[tuple[str, ...]] = ("network_namespaces(7)", "ip-link(8)")
    needs: ClassVar[str] = "CAP_NET_ADMIN in the owners of both namespaces"

    def describe(self) -> str:
        return f"put {self.link} into the other namespace"

    def apply(self, linux: Linux) -> int | None:
        linux.rtnetlink("link set", link=self.link, net_ns_pid=self.pid)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class AddBridge(Step):
    """Make a bridge: a switch whose ports are links.

    Raises: EEXIST when the name is taken, EOPNOTSUPP without the module bridge.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: Documentation/networking/bridge.rst.
    """

    name: str

    man: ClassVar[tuple[str, ...]] = ("bridge(8)", "ip-link(8)")
    needs: ClassVar[str] = _NEEDS

    def describe(self) -> str:
        return f"make the bridge {self.name}"

    def apply(self, linux: Linux) -> int | None:
        linux.rtnetlink("link add", ifname=self.name, kind="bridge")
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Enslave(Step):
    """Make a link a port of a bridge ("master" is the kernel's word for the bridge).

    Raises: ENODEV for either name, EBUSY when it is a port of another bridge.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: rtnetlink(7), IFLA_MASTER.
    """

    link: str
    bridge: str

    man: ClassVar[tuple[str, ...]] = ("bridge(8)", "ip-link(8)")
    needs: ClassVar[str] = _NEEDS

    def describe(self) -> str:
        return f"plug {self.link} into {self.bridge}"

    def apply(self, linux: Linux) -> int | None:
        linux.rtnetlink("link set", link=self.link, master=self.bridge)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class AddAddress(Step):
    """Give a link an address, and with it a route to everybody in its subnet.

    Args: link; address ["10.90.0.2/24": the part before the slash is its own].
    Raises: EEXIST when it has it already, ENODEV, EINVAL for no address.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: rtnetlink(7), RTM_NEWADDR.
    """

    link: str
    address: str

    man: ClassVar[tuple[str, ...]] = ("ip-address(8)",)
    needs: ClassVar[str] = _NEEDS

    def describe(self) -> str:
        return f"give {self.link} the address {self.address}"

    def apply(self, linux: Linux) -> int | None:
        address, _, length = self.address.partition("/")
        linux.rtnetlink(
            "addr add", link=self.link, address=address, prefixlen=int(length or 32)
        )
        return None


@dataclass(frozen=True, slots=True, repr=False)
class AddRoute(Step):
    """Say through whom a destination is reached; the default is everything else.

    Args: gateway [an address that a link reaches directly]; destination ["default",
        or "10.91.0.0/24"].
    Raises: ENETUNREACH when no link that is up reaches the gateway, EEXIST.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: rtnetlink(7), RTM_NEWROUTE.
    """

    gateway: str
    destination: str = "default"

    man: ClassVar[tuple[str, ...]] = ("ip-route(8)",)
    needs: ClassVar[str] = _NEEDS
    rules: ClassVar[tuple[Rule, ...]] = (
        After(AddAddress, "Linux takes a gateway only when a link reaches it directly"),
        After(LinkUp, "a link that is off reaches nobody"),
    )

    def describe(self) -> str:
        return f"route {self.destination} through {self.gateway}"

    def apply(self, linux: Linux) -> int | None:
        linux.rtnetlink("route add", dst=self.destination, gateway=self.gateway)
        return None


@dataclass(frozen=True, slots=True, repr=False)
class ConnectVeth(Step):
    """Connect the inside to a bridge by one request.

    The far end is made where it belongs, with its name and its MAC address; the near
    end is plugged in and up. The textbook's order (make both here, move one, plug, up)
    ends the same and takes several times as long.

    Args: near [name of the end at the bridge]; bridge; far [name inside]; mac [of the
        far end].
    Raises: ENODEV when there is no such bridge, EEXIST when a name is taken.
    Needs: CAP_NET_ADMIN in the owners of both namespaces.
    Kernel: veth(4); rtnetlink(7), IFLA_NET_NS_PID.
    """

    near: str
    bridge: str
    far: str
    mac: str

    man: ClassVar[tuple[str, ...]] = ("veth(4)", "bridge(8)")
    needs: ClassVar[str] = "CAP_NET_ADMIN in the owners of both namespaces"
    where: ClassVar[Where] = Where.OUTSIDE
    rules: ClassVar[tuple[Rule, ...]] = (
        Requires(
            Unshare(CLONE.NEWNET),
            "before it, both ends would be the host's, and its address as well",
        ),
    )

    def describe(self) -> str:
        return f"connect {self.far} to {self.bridge}"

    def apply(self, linux: Linux) -> int | None:
        peer = {"ifname": self.far, "address": self.mac, "net_ns_pid": linux.inside}
        linux.rtnetlink(
            "link add",
            ifname=self.near,
            kind="veth",
            master=self.bridge,
            state="up",
            peer=peer,
        )
        return None

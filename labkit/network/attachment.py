"""A container's place on its networks: the lease, and the steps. Chapter 13.

    attach("web", Wish(networks=("lab",), publish=("8080:80",)))
        .plan(plan)       the container's plan with a network in it
        .ports            what was published: "0.0.0.0:8080->80/tcp"
        .release()        nothing of it is left

A network is more steps in the same plan:

    new namespaces           all, or all but the network's own
    ask for the bridge       <- reserved by the lab's network process
    connect eth0             one request: cable, far end inside, near end plugged in
    lo up, eth0 up, address, route
    fork
    names are answered inside
    ...
    bind hosts, resolv.conf, hostname

Reading order: Wish, attach, Attachment; then the three that have no address.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labkit import state
from labkit.errors import DocumentError, HostError
from labkit.host.probing import is_root
from labkit.linux.flags import CLONE
from labkit.linux.views import HostPath, HostPid
from labkit.network import client, files, ports
from labkit.network.leases import Endpoint, Lease, on
from labkit.network.links import AddAddress, AddRoute, ConnectVeth, LinkUp
from labkit.network.networks import DEFAULT, LOCK, PREFIX, Network
from labkit.network.ports import Port
from labkit.network.steps import OpenNetwork, ReserveNetwork
from labkit.network.subnets import Subnet, free_address, mac_of
from labkit.plan import Plan
from labkit.plan.inserting import after, before
from labkit.plan.together import Together
from labkit.primitives.mount_inside import BindInside
from labkit.primitives.namespaces import JoinNamespaces, Unshare
from labkit.primitives.process import Fork
from labkit.primitives.root import Chdir, PivotRoot

NONE, HOST, CONTAINER = "none", "host", "container:"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a container asks for, as `docker run` has it."""

    networks: tuple[str, ...] = (DEFAULT,)  # --network
    aliases: tuple[str, ...] = ()  # --network-alias
    publish: tuple[str, ...] = ()  # -p
    add_host: tuple[str, ...] = ()  # --add-host
    dns: tuple[str, ...] = ()  # --dns


@dataclass(frozen=True, slots=True)
class Attachment:
    """A container's networking: what its plan gets, and what must be given back."""

    container: str
    wish: Wish
    peer: HostPid = HostPid(0)  # whose network namespace is shared

    @property
    def lease(self) -> Lease | None:
        """Its lease, as it is written down now: with the ports that were found."""
        return Lease.of(self.container)

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its published ports."""
        lease = self.lease
        return () if lease is None else lease.ports

    @property
    def addresses(self) -> dict[str, str]:
        """Its address on each of its networks."""
        lease = self.lease
        places = () if lease is None else lease.endpoints
        return {place.network: place.address for place in places}

    def plan(self, plan: Plan, folder: HostPath, hostname: str) -> Plan:
        """Return a container's plan with its network.

        Args: plan; folder [host path, the plan's working directory while it mounts: the
            files of /etc are written there]; hostname.
        """
        mode = self.wish.networks[0]
        if mode == HOST:
            return _without_new_network(plan)
        if mode.startswith(CONTAINER):
            joined = Plan(JoinNamespaces(self.peer, CLONE.NEWNET))
            return before(_without_new_network(plan), Unshare, joined)
        lease = self.lease
        if lease is None:
            return after(plan, Unshare, Plan(LinkUp("lo")))
        self._write_files(folder, hostname, lease)
        return before(self.wire(plan), PivotRoot, Plan(_bind_files()))

    def wire(self, plan: Plan) -> Plan:
        """Return a plan with the cables in it, and without the files of /etc.

        For a plan that knows of those itself: the engine's, which has them as mounts.
        """
        lease = self.lease
        if lease is None:
            return plan
        reserve, *cables = _cables(lease)
        opened = OpenNetwork(self.container)
        new = next(s for s in plan if s.covers(Unshare(CLONE.NEWNET)))
        if isinstance(
            new, Fork
        ):  # Clone: the new namespaces and the new process in one
            connected = after(plan, type(new), Plan(*cables, opened))
            return before(connected, type(new), Plan(reserve))
        connected = after(plan, Unshare, Plan(reserve, *cables))
        return after(connected, Fork, Plan(opened))

    def ensure(self) -> None:
        """See to it that the network's process runs, before a start asks it."""
        if self.lease is not None:
            with state.lock(LOCK):
                client.ensure()

    def release(self) -> None:
        """Give address, ports and names back. May be called twice.

        Raises: HostError when the network's process can't be reached though it runs.
        """
        lease = self.lease
        if lease is None:
            return
        with state.lock(LOCK):
            lease.forget()
            client.ensure()
        client.ask("release", self.container)

    def _write_files(self, folder: HostPath, hostname: str, lease: Lease) -> None:
        gateway = Network.of(lease.endpoints[0].network).gateway
        more = [files.read_host(text, gateway) for text in self.wish.add_host]
        texts = {
            "hosts": files.hosts(lease, hostname, more),
            "resolv.conf": files.resolv_conf(),
            "hostname": f"{hostname}\n",
        }
        for name, text in texts.items():
            Path(folder, name).write_text(text)


def attach(container: str, wish: Wish, peer: HostPid = HostPid(0)) -> Attachment:
    """Write down a container's lease: an address on each network, its ports, names.

    Nothing happens in Linux yet; its plan asks for that.

    Args: container [its name]; wish; peer [host pid whose network it shares, for
        "container:NAME"].
    Raises: StateError for a network that isn't there or is full; DocumentError for a
        port, host or mode that can't be understood; HostError for an ordinary user.
    """
    wanted = tuple(p for text in wish.publish for p in ports.parse(text))
    mode = _checked(wish, wanted)
    attachment = Attachment(container, wish, peer)
    if mode:
        return attachment
    _must_be_root()
    if DEFAULT in wish.networks:
        Network.default()
    with state.lock(LOCK):
        nets = [Network.of(name) for name in wish.networks]
        places = tuple(_places(container, nets, wish.aliases))
        Lease(container, places, wanted, wish.dns).owned().write()
        client.ensure()
    return attachment


def _checked(wish: Wish, wanted: Sequence[Port]) -> bool:
    # Whether it is one of the modes that have no address.
    special = [
        name
        for name in wish.networks
        if name in (NONE, HOST) or name.startswith(CONTAINER)
    ]
    if special and len(wish.networks) > 1:
        raise DocumentError(
            f"network {special[0]!r}: stands alone",
            "leave the other networks out",
            meaning="a process is in one network namespace at a time",
        )
    if special and wanted:
        raise DocumentError(
            f"network {special[0]!r}: publishes no port",
            "leave the port out, or choose another network",
            meaning="there is no address of its own that a port could lead to",
        )
    if not wish.networks:
        raise DocumentError("network: none is named", f"{NONE!r} is the name of none")
    return bool(special)


def _places(
    container: str, networks: Sequence[Network], aliases: tuple[str, ...]
) -> Iterator[Endpoint]:
    # One that leads out comes first: its gateway is the way to everywhere else.
    for number, network in enumerate(sorted(networks, key=lambda net: net.internal)):
        others = [
            p.address for lease, p in on(network.name) if lease.container != container
        ]
        address = free_address(Subnet(network.subnet), others)
        near = f"{PREFIX}{secrets.token_hex(4)}"
        far = f"eth{number}"
        yield Endpoint(network.name, address, mac_of(address), near, far, aliases)


def _cables(lease: Lease) -> Iterator[Together | ReserveNetwork | ConnectVeth]:
    nets = [Network.of(place.network) for place in lease.endpoints]
    what = [f"the bridge {network.bridge}" for network in nets]
    what += [f"port {port.number}" for port in lease.ports if not port.last]
    yield ReserveNetwork(lease.container, ", ".join(what))
    yield Together.of("switch lo on", LinkUp("lo"))
    for place, network in zip(lease.endpoints, nets, strict=True):
        own = f"{place.address}/{network.prefix_length}"
        yield ConnectVeth(place.near, network.bridge, place.far, place.mac)
        steps = [AddAddress(place.far, own), LinkUp(place.far)]
        if place is lease.endpoints[0] and not network.internal:
            steps.append(AddRoute(network.gateway))
        yield Together.of(f"give {place.far} the address {own}", *steps)


def _bind_files() -> Together:
    names = ("hosts", "resolv.conf", "hostname")
    binds = [BindInside(f"../{name}", f"/etc/{name}") for name in names]
    return Together.of(
        "give it /etc/hosts, /etc/resolv.conf and /etc/hostname",
        Chdir("merged"),
        *binds,
        Chdir(".."),
    )


def _without_new_network(plan: Plan) -> Plan:
    return Plan(
        *(
            replace(step, flags=step.flags & ~CLONE.NEWNET)
            if isinstance(step, Unshare)
            else step
            for step in plan
        )
    )


def _must_be_root() -> None:
    if not is_root():
        raise HostError(
            "network: only root can connect a container to the host",
            'network="none", root, or the lab VM: make lab TIER=vm',
            "chapter 13",
            meaning="the bridge is a link of the host's, which isn't yours to change",
        )

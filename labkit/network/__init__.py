"""Networks: a card, an address, a way out, a port, a name. Chapter 13.

links         links, addresses and routes, as steps
networks      a name, a subnet, and a bridge while somebody is on it
leases        which container has which address, ports and names
attachment    a container's plan with its network in it
ports         what -p says; who has a port
firewall      nftables rules: the way out, the way in, apart from each other
service       the process that holds bridges, ports and names; room: one container's
relay         the host's own addresses; resolver, names: the name server inside
topology      everything of it as one value, comparable
"""

from labkit.lazy import names_from as _names_from

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from labkit.network.attachment import Attachment, Wish, attach
    from labkit.network.links import (
        AddAddress,
        AddBridge,
        AddRoute,
        AddVeth,
        ConnectVeth,
        Enslave,
        LinkUp,
        MoveLink,
    )
    from labkit.network.networks import Network

__all__ = [
    "AddAddress",
    "AddBridge",
    "AddRoute",
    "AddVeth",
    "Attachment",
    "ConnectVeth",
    "Enslave",
    "LinkUp",
    "MoveLink",
    "Network",
    "Wish",
    "attach",
]

# Loaded when they are first asked for: the fork server needs the steps alone.
_HOMES = {
    "attachment": ("Attachment", "Wish", "attach"),
    "links": (
        "AddAddress",
        "AddBridge",
        "AddRoute",
        "AddVeth",
        "ConnectVeth",
        "Enslave",
        "LinkUp",
        "MoveLink",
    ),
    "networks": ("Network",),
}

__getattr__ = _names_from(__name__, _HOMES)

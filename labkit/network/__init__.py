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

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from typing import Any

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


def __getattr__(name: str) -> "Any":
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

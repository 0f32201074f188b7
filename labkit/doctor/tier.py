"""The tier: how much this machine permits, and so where the notebooks run.

root     you are root: everything happens on this Linux itself
user     an ordinary user with user namespaces: root inside one's own
vm       nothing of it is permitted: root in the lab VM
"""

from __future__ import annotations

from enum import StrEnum

from labkit.host import Host, Trial

_NEEDED = (Trial.NAMESPACES, Trial.MOUNTS, Trial.PIVOT_ROOT)


class Tier(StrEnum):
    """Where notebooks run; the value is what TIER= takes."""

    ROOT = "root"
    USER = "user"
    VM = "vm"

    @property
    def sentence(self) -> str:
        """Say it to the person who starts the lab."""
        return {
            Tier.ROOT: "root: the chapters happen on this Linux itself",
            Tier.USER: "user namespaces: you are root in a corner of your own; "
            "for all of it: sudo make lab, or make lab TIER=vm",
            Tier.VM: "lab VM: you are root in a small Linux that QEMU emulates",
        }[self]


def tier(host: Host) -> Tier:
    """Choose the tier of a machine.

    Args: host [probed].
    Returns: the one with the least between the notebook and Linux.
    Raises: nothing.
    Needs: nothing.
    """
    if not all(host.trials.works(trial) for trial in _NEEDED):
        return Tier.VM
    return Tier.ROOT if host.privilege.root else Tier.USER

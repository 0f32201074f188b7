"""nft, and whether this host passes packets on. Chapter 13.

    run("-f", "-", text=...)   nft's answer, or its complaint in three lines
    passes_on()                net.ipv4.ip_forward, which the lab never changes
    obstacle()                 what else is in the way: another table that drops

Reading order as above.
Left out: rules of the old kind (iptables-legacy), which nft doesn't list.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from labkit.errors import HostError

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# A user's PATH often lacks where Debian puts the tools for root.
_SBIN = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def run(*words: str, text: str = "") -> str:
    """Run nft with these words and this input; return what it says.

    Raises: HostError when it is missing, or refuses.
    Needs: CAP_NET_ADMIN in the user namespace that owns the network namespace.
    Kernel: nft(8).
    """
    if not program():
        raise HostError(
            "nft: this program isn't here",
            "apt install nftables",
            "nft(8)",
            meaning="networks need it on a host that passes packets on",
        )
    # fmt: off
    ended = subprocess.run(
        ["nft", *words],
        env={"PATH": _SBIN}, input=text, capture_output=True, text=True, check=False,
    )
    # fmt: on
    if ended.returncode:
        said = ended.stderr.strip().splitlines() or ["it said nothing"]
        raise HostError(
            f"nft {words[0]}: {said[0]}",
            "modprobe nf_tables nft_nat nft_masq nft_fib_ipv4 as root; `labkit doctor`",
            "nft(8)",
            meaning="the kernel or nft lacks something that the lab's rules ask for",
        )
    return ended.stdout


def passes_on() -> bool:
    """Say whether this host passes packets on from one link to another.

    Kernel: Documentation/networking/ip-sysctl.rst, ip_forward.
    """
    return _FORWARD.read_text().strip() != "0"


def program() -> str:
    """Return where nft is; "" when this host has none."""
    return shutil.which("nft", path=_SBIN) or ""


def obstacle() -> str:
    """Say what keeps packets from passing through this host; "" when nothing does.

    Then there is no way out of a network, and the host's proxies alone answer on
    published ports.
    """
    if not passes_on():
        return "this host passes no packets on (net.ipv4.ip_forward is 0)"
    try:
        dropping = _dropping_chains()
    except HostError as problem:
        return problem.message
    if dropping:
        return f"this host's firewall drops what it would pass on ({dropping[0]})"
    return ""


def _dropping_chains() -> list[str]:
    found = json.loads(run("-j", "list", "chains"))["nftables"]
    chains = [row["chain"] for row in found if "chain" in row]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "inet")
    ]

"""What can be chosen about the VM: an environment variable for each setting.

LABKIT_VM_MEMORY     megabytes of memory that the VM has
LABKIT_VM_CPUS       processors that it has
LABKIT_VM_CACHE      megabytes that emulation keeps of translated code
LABKIT_VM_IDLE       seconds that it stays when its last kernel has ended
LABKIT_VM_WORK       the folder that it shares with this machine
LABKIT_VM_ACCEL      kvm or tcg, instead of what works here
LABKIT_VM_KERNEL     the package with Linux and its modules
LABKIT_VM_APT        where to get it: a line of sources.list(5)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.errors import HostError

MEMORY_MB = 512
IDLE_S = 60.0
# A lab of 450 megabytes. With 128, it takes a hundred more, and what starts many small
# processes runs twice as fast.
CACHE_MB = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one VM."""

    memory_mb: int = MEMORY_MB
    cpus: int = 1
    cache_mb: int = CACHE_MB
    idle_s: float = IDLE_S
    work: str = ""  # "" lets the first notebook decide
    accelerator: str = ""
    kernel: str = ""
    sources: str = ""


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return what the environment says.

    Raises: HostError for a number that is none.
    """
    return Settings(
        memory_mb=int(_number(environ, "LABKIT_VM_MEMORY", MEMORY_MB)),
        cpus=int(_number(environ, "LABKIT_VM_CPUS", 1)),
        cache_mb=int(_number(environ, "LABKIT_VM_CACHE", CACHE_MB)),
        idle_s=_number(environ, "LABKIT_VM_IDLE", IDLE_S),
        work=environ.get("LABKIT_VM_WORK", ""),
        accelerator=environ.get("LABKIT_VM_ACCEL", ""),
        kernel=environ.get("LABKIT_VM_KERNEL", ""),
        sources=environ.get("LABKIT_VM_APT", ""),
    )


def _number(environ: Mapping[str, str], name: str, otherwise: float) -> float:
    text = environ.get(name, "")
    try:
        return float(text) if text else otherwise
    except ValueError:
        raise HostError(
            f'{name}="{text}": not a number',
            f"unset {name}, or give it a number",
            meaning="the lab VM can't be set up like this",
        ) from None

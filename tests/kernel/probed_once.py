"""Containers for tests: this machine is probed once, and not again by each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import labkit
from labkit import Container
from labkit.host import Host, probe


@cache
def this_host() -> Host:
    """Return what the probe finds."""
    return probe()


def container(name: str, argv: Sequence[str] = (), **options: Any) -> Container:
    """Make a container as `labkit.container` does."""
    words = (tuple(argv),) if argv else ()
    return labkit.container(name, *words, host=this_host(), **options)

"""Hooks that this command runs itself: those after the start and after the end."""

from __future__ import annotations

import sys

from labkit.errors import LabError
from labkit.runtime.hooks import run_hooks
from labkit.runtime.oci import ending
from labkit.runtime.oci.container import (
    RUNNING,
    STOPPED,
    Container,
    Record,
    config_of,
    state_json,
)
from labkit.runtime.spec.mounts import Hooks
from labkit.runtime.spec.node import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def after_start(container: Container, record: Record) -> None:
    """Run the poststart hooks; if one fails, the container is ended.

    Raises: ContainerFailed for the first that fails.
    """
    hooks = _read(config_of(container)["hooks"]).poststart
    try:
        run_hooks("poststart", hooks, state_json(record, RUNNING))
    except LabError:
        ending.end(record)
        raise


def after_stop(hooks: dict[str, Any], record: Record) -> None:
    """Run the poststop hooks; one that fails is told, and changes nothing."""
    try:
        run_hooks("poststop", _read(hooks).poststop, state_json(record, STOPPED))
    except LabError as failed:
        sys.stderr.write(f"labkit-oci: warning: {failed}\n")


def _read(hooks: dict[str, Any]) -> Hooks:
    return Hooks.read(Node(hooks, "config.json", "/hooks"))

"""The hooks that run when a container exists already: poststart and poststop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.linux.syscalls import Linux
from labkit.primitives.program import hooks as primitive
from labkit.runtime.spec.mounts import Hook


def run_hooks(moment: str, hooks: Iterable[Hook], state: Mapping[str, Any]) -> None:
    """Run programs one after the other, with the container's state on their stdin.

    Args: moment ["poststart" or "poststop"]; state [OCI runtime, State].
    Raises: ContainerFailed for the first that fails.
    """
    linux = Linux(forked=True)  # the hooks' own children are what it changes
    for hook in map(primitive_hook, hooks):
        primitive.run_hook(linux, moment, hook, state)


def primitive_hook(hook: Hook) -> primitive.Hook:
    """Return a hook of config.json as the steps take it."""
    return primitive.Hook(hook.path, hook.args, hook.env, hook.timeout_s)

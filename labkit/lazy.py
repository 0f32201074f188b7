"""Names of a package that are loaded when they are first asked for. Layer 0.

    __getattr__ = names_from(__name__, {"cgroup": ("Cgroup",), "leaf": ("make_room",)})

A command that starts for every container must not wait for what it doesn't use.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # without typing, whose import takes milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def names_from(
    package: str, homes: Mapping[str, tuple[str, ...]]
) -> Callable[[str], Any]:
    """Return the function by which a package finds a name that it hasn't got yet.

    Args: package [its name]; homes [the names that each module below it has].
    Raises: nothing; what it returns raises AttributeError for a name of no module.
    Spec: PEP 562.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        import importlib

        module = importlib.import_module(f"{package}.{home_of[name]}")
        value = getattr(module, name)
        setattr(sys.modules[package], name, value)  # asked for once
        return value

    return load

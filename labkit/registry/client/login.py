"""Keeping and forgetting a password. Chapter 12.

Reading order: login, logout.
"""

from __future__ import annotations

from dataclasses import replace

from labkit.errors import RegistryError
from labkit.registry.client.credentials import Credentials, Login
from labkit.registry.client.session import Asking, Session, Terms
from labkit.registry.client.wire import read

_LONGEST = 64 << 10


def login(
    registry: str,
    given: Login,
    terms: Terms | None = None,
    credentials: Credentials | None = None,
) -> None:
    """Show a name and a password to a registry, and keep them when it likes them.

    Raises: RegistryError when it doesn't; HostError when they can't be kept.
    Spec: distribution-spec, "Determining Support".
    """
    with Session(registry, replace(terms or Terms(), login=given)) as session:
        response = session.ask(Asking("GET", "/v2/"))
        read(response, _LONGEST)
    (credentials or Credentials()).keep(registry, given)


def logout(registry: str, credentials: Credentials | None = None) -> None:
    """Forget a registry's name and password.

    Raises: RegistryError when there are none.
    """
    known = credentials or Credentials()
    if not known.forget(registry):
        raise RegistryError(
            f"logout {registry}: not logged in",
            f"look into {known.path}",
            "chapter 12",
            meaning="no name and password of this registry are kept",
        )

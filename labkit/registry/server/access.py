"""Who may do what: everybody, who knows a password, who has a token. Chapter 12.

    401  WWW-Authenticate: Basic realm="..."         name and password with each request
    401  WWW-Authenticate: Bearer realm="URL",       get a token there, with name and
           service="...", scope="repository:app:pull"   password, and show it here

A token is a JSON Web Token (RFC 7519): what it allows and until when, signed with a
secret that only this process has. Whoever holds it needs no password any more, and can
do no more than it says.

Reading order: Access, Open, Basic, Tokens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import time
from http import HTTPStatus
from typing import Any, Protocol

from labkit.registry.server.exchange import Answer, Request
from labkit.registry.server.passwords import Passwords
from labkit.registry.server.refusals import Refused

PULL, PUSH = "pull", "push"
_REALM = "labkit"
_LIFETIME_S = 300
_HEADER = {"typ": "JWT", "alg": "HS256"}


class Access(Protocol):
    """Decides about each request."""

    def check(self, request: Request, repository: str, action: str) -> None:
        """Refuse what isn't allowed.

        Args: repository ["" for the registry itself]; action [PULL or PUSH].
        Raises: Refused (UNAUTHORIZED) with a challenge.
        """

    def token(self, request: Request) -> Answer:
        """Give a token to whoever may have one.

        Raises: Refused.
        """


class Open:
    """Everybody may do everything: for a laptop."""

    def check(self, request: Request, repository: str, action: str) -> None:
        """Refuse nothing."""

    def token(self, request: Request) -> Answer:
        """Refuse: there are no tokens here."""
        raise Refused("UNSUPPORTED", "no tokens here", HTTPStatus.NOT_FOUND)


class Basic(Open):
    """Name and password with each request (RFC 7617)."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    def check(self, request: Request, repository: str, action: str) -> None:
        """Refuse who has no password."""
        if not _user(request, self._passwords):
            raise _challenge(f'Basic realm="{_REALM}"')


class Tokens:
    """A token for each repository and action, from `/token`.

    Args: public [who has no password may pull]; lifetime_s [of a token].
    Spec: distribution's "Token Authentication Specification".
    """

    def __init__(
        self,
        passwords: Passwords,
        *,
        public: bool = False,
        lifetime_s: int = _LIFETIME_S,
    ) -> None:
        self._passwords, self._public = passwords, public
        self._lifetime_s = lifetime_s
        self._secret = secrets.token_bytes(32)

    def check(self, request: Request, repository: str, action: str) -> None:
        """Refuse who has no token, or one for something else."""
        scope = f"repository:{repository}:{_actions(action)}" if repository else ""
        kind, _, token = request.header("Authorization").partition(" ")
        claims = self._read(token) if kind.lower() == "bearer" else None
        if claims is None:
            raise self._ask_for(request, scope)
        if repository and action not in claims["access"].get(repository, []):
            raise self._ask_for(request, scope, error="insufficient_scope")

    def token(self, request: Request) -> Answer:
        """Give a token for what was asked and is allowed; "" of it may be left."""
        user = _user(request, self._passwords)
        if not user and (request.header("Authorization") or not self._public):
            raise _challenge(f'Basic realm="{_REALM}"')
        allowed = {PULL, PUSH} if user else {PULL}
        scopes = " ".join(request.query.get("scope", [])).split()
        access = {
            name: sorted(allowed & set(actions.split(",")))
            for kind, name, actions in map(_scope, scopes)
            if kind == "repository"
        }
        until = int(time.time()) + self._lifetime_s
        token = self._sign({"sub": user, "exp": until, "access": access})
        body = {"token": token, "access_token": token, "expires_in": self._lifetime_s}
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Answer(HTTPStatus.OK, headers, json.dumps(body).encode())

    def _sign(self, claims: dict[str, Any]) -> str:
        head = ".".join(
            _encode(json.dumps(part).encode()) for part in (_HEADER, claims)
        )
        return f"{head}.{self._signature(head)}"

    def _read(self, token: str) -> dict[str, Any] | None:
        head, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(head).encode()):
            return None
        # Only what carries our own signature is read.
        claims: dict[str, Any] = json.loads(_decode(head.partition(".")[2]))
        return claims if claims["exp"] > time.time() else None

    def _signature(self, head: str) -> str:
        return _encode(hmac.digest(self._secret, head.encode(), "sha256"))

    def _ask_for(self, request: Request, scope: str, error: str = "") -> Refused:
        words = {
            "realm": f"{request.origin}/token",
            "service": _REALM,
            "scope": scope,
            "error": error,
        }
        said = [f'{name}="{value}"' for name, value in words.items() if value]
        return _challenge(f"Bearer {','.join(said)}")


def _user(request: Request, passwords: Passwords) -> str:
    # The user whose password came with the request, or "".
    kind, _, encoded = request.header("Authorization").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        user, _, password = (
            base64.b64decode(encoded, validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return user if passwords.verify(user, password) else ""


def _challenge(words: str) -> Refused:
    headers = {"WWW-Authenticate": words}
    return Refused("UNAUTHORIZED", "authentication required", headers=headers)


def _actions(action: str) -> str:
    # Whoever pushes also asks what is there already.
    return PULL if action == PULL else f"{PULL},{PUSH}"


def _scope(text: str) -> tuple[str, str, str]:
    kind, _, rest = text.partition(":")
    name, _, actions = rest.rpartition(":")
    return kind, name, actions


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

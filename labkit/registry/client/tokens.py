"""Answering a challenge: a password, or a token that was got for it. Chapter 12.

    1. GET https://registry/v2/app/manifests/1     401, with a challenge
    2. GET REALM?service=...&scope=...             name and password -> token
    3. GET https://registry/v2/app/manifests/1     Authorization: Bearer TOKEN

A token is for some actions on some repositories, and for minutes: it is kept for them
until it is nearly over, then got again.

Reading order: Tokens.
Spec: distribution's "Token Authentication Specification"; RFC 6749 for identity tokens.
"""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode, urlsplit

from labkit.errors import RegistryError
from labkit.registry.client.challenge import Challenge
from labkit.registry.client.credentials import Login
from labkit.registry.client.refusals import nonsense, refusal
from labkit.registry.client.wire import (
    Response,
    Trust,
    Wire,
    loopback,
    origin,
    read,
)
from labkit.text import one_line

_LONGEST = 1 << 20
_LIFETIME_S = 60  # when the answer doesn't say
_MARGIN_S = 5  # clocks differ, and a request takes its time
_CLIENT = "labkit"


class Tokens:
    """What to show to one registry.

    Args: registry [as references name it]; login [empty: nobody in particular].
    """

    def __init__(self, registry: str, login: Login, wire: Wire, trust: Trust) -> None:
        self._registry, self._login, self._wire = registry, login, wire
        self._trust = trust
        self._basic = False
        self._kept: dict[str, tuple[str, float]] = {}
        # Layers come side by side, and need one token, not one each.
        self._lock = threading.Lock()

    def header(self, scope: str) -> str:
        """Return what to show without being asked again; "" for nothing."""
        if self._basic:
            return self._login.basic
        token, until = self._kept.get(scope, ("", 0.0))
        return f"Bearer {token}" if time.monotonic() < until else ""

    def answer(self, asked: tuple[Challenge, ...], scope: str, shown: str) -> str:
        """Return what to show after a challenge; "" when there is nothing better.

        Args: scope [what is needed: repository:NAME:ACTIONS, several with spaces];
            shown [the header that wasn't enough].
        Raises: RegistryError when no token can be had.
        """
        by_scheme = {challenge.scheme: challenge for challenge in asked}
        with self._lock:
            fresh = self.header(scope)
            if fresh and fresh != shown:  # another thread was here just now
                return fresh
            if bearer := by_scheme.get("bearer"):
                self._kept[scope] = self._fetch(bearer, scope)
            elif "basic" in by_scheme and self._login.user:
                self._basic = True
        fresh = self.header(scope)
        return fresh if fresh != shown else ""

    def _fetch(self, bearer: Challenge, scope: str) -> tuple[str, float]:
        realm = bearer.words.get("realm", "")
        self._must_be_safe(realm)
        scopes = dict.fromkeys([*scope.split(), *bearer.words.get("scope", "").split()])
        wanted = [("service", bearer.words.get("service", ""))]
        wanted += [("scope", one) for one in scopes]
        response = self._ask(realm, [pair for pair in wanted if pair[1]])
        body = read(response, _LONGEST)
        if response.status != 200:
            raise refusal(f"GET {realm}", self._registry, response.status, body)
        return _token(realm, body)

    def _ask(self, realm: str, wanted: list[tuple[str, str]]) -> Response:
        login = self._login
        if login.identity_token:
            form = [
                *wanted,
                ("grant_type", "refresh_token"),
                ("refresh_token", login.identity_token),
                ("client_id", _CLIENT),
            ]
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._wire.send("POST", realm, kind, urlencode(form).encode())
        headers = {"Authorization": login.basic} if login.user else {}
        account = [("account", login.user)] if login.user else []
        query = urlencode([*wanted, *account, ("client_id", _CLIENT)])
        join = "&" if urlsplit(realm).query else "?"
        return self._wire.send("GET", f"{realm}{join}{query}", headers)

    def _must_be_safe(self, realm: str) -> None:
        who = origin(realm)
        here = who.startswith("http:") and loopback(urlsplit(realm).hostname or "")
        if not (who.startswith("https:") or (who and (here or self._trust.insecure))):
            raise RegistryError(
                f"{self._registry}: tokens from {one_line(realm, 200)}",
                "another registry; --insecure when you know this one",
                "chapter 12",
                meaning="the registry wants your password to go where all can read it",
            )


def _token(realm: str, body: bytes) -> tuple[str, float]:
    try:
        document = json.loads(body)
        token = document.get("token") or document["access_token"]
        lifetime_s = float(document.get("expires_in") or _LIFETIME_S)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as wrong:
        raise nonsense(f"GET {realm}", "no token in the answer") from wrong
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise nonsense(f"GET {realm}", "the token isn't a text that a header can hold")
    return token, time.monotonic() + max(lifetime_s - _MARGIN_S, 1)

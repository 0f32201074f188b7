"""A request that is authorized, redirected and tried again. Chapter 12.

    send -> 401                a challenge is answered, once
         -> 307 elsewhere      followed; elsewhere gets no password and no token
         -> 429, 503, nothing  after a pause, again

Reading order: Asking, Terms, Session.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Self
from urllib.parse import urlsplit

from labkit.errors import LabError, RegistryError
from labkit.image.reference import DEFAULT_REGISTRY
from labkit.registry.client.challenge import challenges
from labkit.registry.client.credentials import Credentials, Login
from labkit.registry.client.refusals import nonsense, refusal, unreachable
from labkit.registry.client.tokens import Tokens
from labkit.registry.client.wire import (
    Broken,
    Content,
    Patience,
    Response,
    Trust,
    Untrusted,
    Wire,
    joined,
    loopback,
    origin,
    read,
)

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
LATER = (408, 429, 500, 502, 503, 504)
_LONGEST_ERROR = 64 << 10
_OFFLINE = "labkit images make: the lab's own images, made with no internet"
# Docker Hub's registry has another name than its references say.
_ADDRESSES = {DEFAULT_REGISTRY: "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Asking:
    """What to ask.

    Args: method; where [path on the registry, or a URL that it gave]; scope [what a
        token must allow]; headers; body [called for each try]; good [statuses].
    """

    method: str
    where: str
    scope: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: Callable[[], Content] = bytes
    good: tuple[int, ...] = (200,)


@dataclass(frozen=True, slots=True)
class Terms:
    """How to deal with a registry.

    Args: trust; patience; login [None: what config.json says].
    """

    trust: Trust = Trust()
    patience: Patience = Patience()
    login: Login | None = None


class Session:
    """One registry, as one user; threads may share it. Leaving it closes connections.

    Args: registry [as references name it: docker.io, localhost:5000]; terms.
    """

    def __init__(self, registry: str, terms: Terms | None = None) -> None:
        self.registry, self.terms = registry, terms or Terms()
        self._wire = Wire(self.terms.trust, self.terms.patience)
        self._credentials = Credentials()
        login = self.terms.login
        self.login = self._credentials.login(registry) if login is None else login
        self._tokens = Tokens(registry, self.login, self._wire, self.terms.trust)
        self._found, self._finding = "", threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._wire.close()

    @property
    def url(self) -> str:
        """Scheme, host and port; found out by asking, the first time.

        Raises: RegistryError when nobody answers.
        """
        with self._finding:
            self._found = self._found or self._find()
        return self._found

    def ask(self, asking: Asking) -> Response:
        """Ask, patiently.

        Returns: an answer with a good status; its body isn't read yet.
        Raises: RegistryError.
        """
        patience = self.terms.patience
        for number in range(1, patience.tries + 1):
            try:
                response = self.once(asking)
                if response.status in asking.good:
                    return response
                pause_s = _retry_after_s(response)
                problem = self.refused(asking, response)
                if response.status not in LATER:
                    raise problem
            except Broken as broken:
                pause_s, problem = 0.0, unreachable(self._shown(asking), str(broken))
            if number < patience.tries:
                self.pause(number, problem, pause_s)
        raise problem

    def once(self, asking: Asking) -> Response:
        """Ask once: answer a challenge, follow redirects, try nothing again.

        Raises: Broken; RegistryError.
        """
        try:
            shown = self._tokens.header(asking.scope)
            response, at_home = self._follow(asking, shown)
            if response.status != 401 or not at_home:
                return response
            fresh = self._answer(response, asking.scope, shown)
            if fresh:
                _pass_over(response)
                response, _ = self._follow(asking, fresh)
            return response
        except Untrusted as untrusted:
            raise _untrusted(self._shown(asking), untrusted) from untrusted

    def _answer(self, response: Response, scope: str, shown: str) -> str:
        try:
            asked = challenges(response.headers.get("WWW-Authenticate", ""))
            return self._tokens.answer(asked, scope, shown)
        except Exception:
            _pass_over(response)
            raise

    def refused(self, asking: Asking, response: Response) -> LabError:
        """Return the error for an answer that isn't good; reads its body."""
        shown = self._shown(asking)
        try:
            body = read(response, _LONGEST_ERROR)
        except Broken:  # the status says enough
            body = b""
        problem = refusal(shown, self.registry, response.status, body)
        program = self._credentials.program(self.registry)
        if response.status == 401 and program and not self.login:
            problem.hint += f" (docker-credential-{program} isn't asked by the lab)"
        return problem

    def pause(self, number: int, problem: LabError, at_least_s: float = 0) -> None:
        """Wait before the next try, longer each time.

        Args: number [of tries so far]; problem [raised when the registry wants us to
            wait longer than anybody would]; at_least_s.
        Raises: problem.
        """
        patience = self.terms.patience
        if at_least_s > patience.longest_pause_s:
            problem.hint = (
                f"wait {at_least_s:.0f} s, as the registry asks; {problem.hint}"
            )
            raise problem
        usual_s = patience.pause_s * 2 ** (number - 1)
        # Not all at once: those who failed together would fail together again.
        usual_s *= random.uniform(0.75, 1.25)
        time.sleep(max(at_least_s, min(usual_s, patience.longest_pause_s)))

    def _follow(self, asking: Asking, shown: str) -> tuple[Response, bool]:
        url, method, body = joined(self.url, asking.where), asking.method, asking.body
        for _ in range(_MOST_REDIRECTS + 1):
            self._must_be_safe(url, asking)
            at_home = origin(url) == origin(self.url)
            headers = dict(asking.headers)
            if shown and at_home:
                headers["Authorization"] = shown
            response = self._wire.send(method, url, headers, body())
            target = response.headers.get("Location", "")
            if response.status not in _REDIRECTS or not target:
                return response, at_home
            read(response, _LONGEST_ERROR)
            url = joined(url, target)
            if response.status == 303:
                method, body = "GET", bytes
        raise nonsense(self._shown(asking), f"more than {_MOST_REDIRECTS} redirects")

    def _must_be_safe(self, url: str, asking: Asking) -> None:
        plain_is_fine = self.url.startswith("http:") or self.terms.trust.insecure
        schemes = ("https:", "http:") if plain_is_fine else ("https:",)
        if not origin(url).startswith(schemes):
            raise nonsense(
                self._shown(asking), f"leads to {url[:100]}, which isn't safe"
            )

    def _find(self) -> str:
        address = _ADDRESSES.get(self.registry, self.registry)
        problem = Broken("nobody was asked")
        for scheme in self._schemes(address):
            url = f"{scheme}://{address}"
            try:
                response = self._wire.send("GET", f"{url}/v2/", {})
                read(response, _LONGEST_ERROR)
            except Broken as broken:
                problem = broken
                continue
            except Untrusted as untrusted:
                raise _untrusted(f"GET {url}/v2/", untrusted) from untrusted
            # A server with TLS answers so when it is spoken to without.
            if scheme == "http" and response.status == 400:
                continue
            return url
        hint = _OFFLINE if self.registry == DEFAULT_REGISTRY else ""
        raise unreachable(f"GET {address}/v2/", str(problem), hint) from problem

    def _schemes(self, address: str) -> tuple[str, ...]:
        host = urlsplit(f"//{address}").hostname or ""
        if loopback(host):
            return "http", "https"
        return ("https", "http") if self.terms.trust.insecure else ("https",)

    def _shown(self, asking: Asking) -> str:
        # Without the query, which may hold a signature that is as good as a password.
        url = joined(self._found, asking.where).partition("?")[0]
        return f"{asking.method} {url[:300]}"


def _pass_over(response: Response) -> None:
    # Read and not closed: with bytes unread Linux would send a reset, and the next
    # request would need another connection.
    with suppress(Broken):
        read(response, _LONGEST_ERROR)


def _retry_after_s(response: Response) -> float:
    # Seconds or a date: RFC 9110, 10.2.3.
    given = response.headers.get("Retry-After", "").strip()
    if given.isdecimal():
        return float(given[:9])
    try:
        return max(parsedate_to_datetime(given).timestamp() - time.time(), 0)
    except (ValueError, TypeError, OverflowError):
        return 0


def _untrusted(asked: str, problem: Untrusted) -> RegistryError:
    return RegistryError(
        f"{asked}: {problem}",
        "--ca FILE with the certificate of who signed it; --insecure when you know it",
        "chapter 12",
        meaning="the registry's certificate isn't one that this machine believes",
    )

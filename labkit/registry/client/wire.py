"""One request and its answer: TLS, proxies, how long to wait. Chapter 12.

HTTP itself is urllib3's; what a registry needs beyond is in session.py.

Reading order: Patience, Trust, Wire, Broken.
Left out: a least speed. Who sends a byte now and then is waited for, until Ctrl-C.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

import labkit
from labkit.errors import DocumentError
from labkit.text import one_line

_BLOCK = 1 << 20
_CONNECTIONS = 8
_ALWAYS = {
    "User-Agent": f"labkit/{labkit.__version__}",
    # The bytes themselves are wanted: a digest is over them, not over their zip.
    "Accept-Encoding": "identity",
}

# ValueError: a chunk of less than no bytes, which urllib3 passes on.
_WRONG = (HTTPError, ValueError)

Response = urllib3.BaseHTTPResponse
Content = bytes | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to try.

    Args: tries [of a request, or in a row without bytes]; pause_s [before the second
        try, then twice as long each time]; longest_pause_s [also of a Retry-After];
        connect_s; silence_s [without a byte].
    """

    tries: int = 5
    pause_s: float = 0.5
    longest_pause_s: float = 60
    connect_s: float = 10
    silence_s: float = 30


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe.

    Args: insecure [True: any certificate, and plain HTTP, too]; authorities [host path
        of a file with certificates; "" for the system's].
    """

    insecure: bool = False
    authorities: str = ""


class Broken(Exception):
    """No answer, or not all of it; trying again may help."""


class Untrusted(Exception):
    """The other side's certificate isn't one that is believed."""


class Wire:
    """Connections, kept open between requests; threads may share it."""

    def __init__(self, trust: Trust, patience: Patience) -> None:
        self._patience, self._context = patience, _context(trust)
        if trust.insecure:  # who said so need not be told with each request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._pools: dict[str, PoolManager] = {}

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: Content = b""
    ) -> Response:
        """Send one request; follow nothing, repeat nothing.

        Returns: the answer, whose body is not read yet.
        Raises: Broken; Untrusted.
        """
        try:
            return self._pool(url).request(
                method,
                url,
                body=body or None,
                headers={**_ALWAYS, **headers},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except HTTPError as problem:
            raise _named(problem) from problem

    def close(self) -> None:
        """Close the connections that are kept."""
        for pool in self._pools.values():
            pool.clear()

    def _pool(self, url: str) -> PoolManager:
        proxy = _proxy(url)
        if proxy not in self._pools:
            patience = self._patience
            how: dict[str, Any] = {
                "ssl_context": self._context,
                "timeout": urllib3.Timeout(
                    None, patience.connect_s, patience.silence_s
                ),
                "maxsize": _CONNECTIONS,
                "blocksize": _BLOCK,
            }
            self._pools[proxy] = _behind(proxy, how) if proxy else PoolManager(**how)
        return self._pools[proxy]


def blocks(response: Response) -> Iterable[bytes]:
    """Yield the bytes of an answer as they come.

    Raises: Broken when they end too early, or nothing comes for too long.
    """
    try:
        yield from response.stream(_BLOCK, decode_content=False)
    except _WRONG as problem:
        raise _named(problem) from problem
    finally:
        # Without this a connection with bytes unread would be used again.
        response.close()


def read(response: Response, most: int) -> bytes:
    """Return the whole body of an answer, but no more than `most` bytes and one.

    Raises: Broken.
    """
    try:
        data = response.read(most + 1, decode_content=False)
        if len(data) <= most:
            response.drain_conn()
            response.release_conn()
        else:
            response.close()
    except _WRONG as problem:
        raise _named(problem) from problem
    return data


def origin(url: str) -> str:
    """Return scheme, host and port: who it is that gets a request.

    Returns: "" for what is no URL: nobody.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return ""
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def joined(url: str, target: str) -> str:
    """Return where a link leads to; "" for one that makes no sense."""
    try:
        return urljoin(url, target)
    except ValueError:
        return ""


def _named(problem: Exception) -> Exception:
    cause = getattr(problem, "reason", None) or problem
    text = str(problem)
    if "CERTIFICATE_VERIFY_FAILED" in text or "doesn't match" in text:
        return Untrusted(one_line(str(cause), 200))
    return Broken(_innermost(problem))


def _innermost(problem: Exception) -> str:
    # urllib3 wraps what happened, and begins with its own object:
    # HTTPConnection(host='...', port=5000): Failed to ...
    while problem.args and isinstance(problem.args[-1], Exception):
        problem = problem.args[-1]
    return one_line(str(problem).rpartition("): ")[2], 200)


def _proxy(url: str) -> str:
    # The environment's variables, as every program obeys them (curl(1)).
    parts = urlsplit(url)
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all") or ""
    host = parts.hostname or ""
    if not found or proxy_bypass(parts.netloc, proxies) or loopback(host):
        return ""
    return found if "://" in found else f"http://{found}"


def _behind(proxy: str, how: dict[str, Any]) -> PoolManager:
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    words = urllib3.make_headers(proxy_basic_auth=login) if parts.username else {}
    return urllib3.ProxyManager(proxy, proxy_headers=words, **how)


def loopback(host: str) -> bool:
    """Say whether a host is this machine: nobody can listen in on the way."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _context(trust: Trust) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.authorities or None)
    except (OSError, ssl.SSLError) as problem:
        raise DocumentError(
            f"{trust.authorities}: {problem}",
            "a file with certificates in PEM form",
            "chapter 12",
            meaning="the file of the authorities to trust can't be used",
        ) from problem
    if trust.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

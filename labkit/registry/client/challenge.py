"""Reading a challenge: how a registry says what it wants to see. Chapter 12.

    WWW-Authenticate: Bearer realm="https://auth.docker.io/token",
                             service="registry.docker.io",
                             scope="repository:library/alpine:pull"

Reading order: Challenge, challenges.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# RFC 9110, 5.6.2 and 5.6.4: a token; a text in quotes, in which \ says: as it is.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_WORD = re.compile(
    rf'\s*,?\s*(?P<name>{_TOKEN})(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>{_TOKEN})))?'
)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one way of authorization needs to know."""

    scheme: str  # in lower case: basic, bearer
    words: Mapping[str, str] = field(default_factory=dict, hash=False)


def challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate header, which may hold several challenges.

    Args: header [several headers are joined by commas].
    Returns: what could be read; the rest is ignored, as RFC 9110 wants unknown schemes
        to be.
    Spec: RFC 9110, 11.6.1.
    """
    found: list[Challenge] = []
    words: dict[str, str] = {}
    position = 0
    while match := _WORD.match(header, position):
        position = match.end()
        name = match["name"].lower()
        quoted, bare = match["quoted"], match["bare"]
        if quoted is None and bare is None:
            words = {}
            found.append(Challenge(name, words))
        else:
            value = bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            words[name] = value
    return tuple(found)

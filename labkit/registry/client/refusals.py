"""What an answer means that wasn't hoped for, and what to try. Chapter 12.

Reading order: refusal, nonsense, unreachable.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from labkit.errors import RegistryError
from labkit.text import one_line

# Of a message that somebody else wrote, and of what was asked.
_LONGEST, _LONGEST_CODE, _LONGEST_URL = 200, 40, 400


class _Row(NamedTuple):
    status: int
    code: str  # one of the specification's error codes, or "" for any
    meaning: str
    hint: str


# fmt: off
_TABLE = (
    _Row(401, "", "the registry wants a name and a password that it knows",
         "labkit login {host}"),
    _Row(403, "", "who you are there may not do this",
         "labkit login {host} as somebody else, or ask who owns the repository"),
    _Row(404, "NAME_UNKNOWN", "the registry has no such repository, or hides it",
         "check the spelling; labkit login {host} when it is private"),
    _Row(404, "MANIFEST_UNKNOWN", "the repository has no such tag or digest",
         "another tag"),
    _Row(404, "MANIFEST_BLOB_UNKNOWN", "a part of the image isn't in the repository",
         "push again: what is missing is sent"),
    _Row(404, "BLOB_UNKNOWN", "the registry lists these bytes and doesn't have them",
         "push the image again to that registry, or pull another tag"),
    _Row(404, "", "there is no such thing there",
         "check the name of the registry and the repository"),
    _Row(405, "", "the registry doesn't allow this to anybody",
         "another registry, or its settings when it is yours"),
    _Row(406, "", "the registry has it in another form only",
         "podman or docker: the lab reads OCI and Docker schema 2"),
    _Row(413, "", "it is too large for this registry",
         "smaller layers, or another registry"),
    _Row(429, "", "you asked too often for this registry's taste",
         "wait a while; labkit login {host} often allows more"),
    _Row(507, "", "the registry's disk is full",
         "free space there: labkit registry collect, when it is the lab's"),
)
# fmt: on


def refusal(asked: str, host: str, status: int, body: bytes) -> RegistryError:
    """Return the error for an answer that isn't what was asked for.

    Args: asked [method and URL, without secrets]; host [as references name it]; status
        [of HTTP]; body [the specification's JSON, or anything].
    """
    code, message = _first_error(body)
    row = next((r for r in _TABLE if r.status == status and r.code in ("", code)), None)
    if row is None:
        problem = "has a problem of its own" if status >= 500 else "refused"
        row = _Row(status, "", f"the registry {problem}", "try again later")
    said = " ".join(word for word in (str(status), code, message) if word)
    hint = row.hint.format(host=host)
    return _error(asked, said, hint, row.meaning)


def nonsense(asked: str, found: str) -> RegistryError:
    """Return the error for an answer that no registry should give."""
    return _error(
        asked,
        found,
        "check the registry's name; curl -i shows the whole answer",
        "who answers there isn't a registry, or is a broken one",
    )


def unreachable(asked: str, problem: str, hint: str = "") -> RegistryError:
    """Return the error for no answer at all."""
    return _error(
        asked,
        problem,
        hint or "check the name and your network; HTTPS_PROXY and NO_PROXY are obeyed",
        "there was no answer, or it broke off, and trying again didn't help",
    )


def _error(asked: str, found: str, hint: str, meaning: str) -> RegistryError:
    # The registry chose a part of both: an URL of its own, for instance.
    said = f"{one_line(asked, _LONGEST_URL)}: {one_line(found, _LONGEST_URL)}"
    return RegistryError(said, hint, "chapter 12", meaning=meaning)


def _first_error(body: bytes) -> tuple[str, str]:
    # Anybody may answer: a proxy's HTML, nothing, or JSON of another form.
    try:
        first = json.loads(body)["errors"][0]
        code, message = first["code"], first.get("message") or ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", _shown(body)
    return str(code)[:_LONGEST_CODE], str(message)[:_LONGEST]


def _shown(body: bytes) -> str:
    text = body[:_LONGEST].decode("utf-8", "replace")
    if "<" in text:
        return "(a web page)"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())

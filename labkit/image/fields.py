"""Reading a JSON document that somebody else wrote. Chapter 11.

A wrong value raises an error that says where it stands (RFC 6901, JSON pointer), what
was expected and what was found:

    manifest: /layers/3/size: expected a whole number, found the text "12"

Reading order: read_document, Fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from labkit.errors import DocumentError
from labkit.text import one_line

LONGEST = 4 << 20
"""Bytes: distribution-spec, "Pushing manifests", wants registries to take that much."""

_LARGEST = (1 << 63) - 1
_NAMES = {
    type(None): "null", bool: "true or false", int: "a whole number",
    float: "a number with a fraction", str: "a text", list: "a list", dict: "an object",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of a document, and where in it that stands.

    Args: value [as JSON has it]; document [what it is, for messages]; pointer [RFC
        6901].
    """

    value: Mapping[str, Any]
    document: str
    pointer: str = ""

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; without a default it must be there."""
        return str(self._get(name, str, default))

    def number(self, name: str, default: int | None = None) -> int:
        """Return a number of bytes: whole, not negative, below 2**63."""
        found = self._get(name, int, default)
        if not 0 <= found <= _LARGEST:
            raise self.wrong(name, f"expected 0 to 2**63-1, found {str(found)[:40]}")
        return int(found)

    def truth(self, name: str, default: bool = False) -> bool:
        """Return true or false."""
        return bool(self._get(name, bool, default))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts; absent or null is empty."""
        found = self._get(name, list, [])
        if not all(isinstance(item, str) for item in found):
            raise self.wrong(name, "expected a list of texts")
        return tuple(found)

    def mapping(self, name: str) -> dict[str, str]:
        """Return an object whose values are texts; absent or null is empty."""
        found = self._get(name, dict, {})
        if not all(isinstance(item, str) for item in found.values()):
            raise self.wrong(name, "expected an object whose values are texts")
        return dict(found)

    def keys(self, name: str) -> tuple[str, ...]:
        """Return the names in an object: a set, as JSON writes it."""
        return tuple(self._get(name, dict, {}))

    def part(self, name: str) -> Fields:
        """Return an object within this one; absent or null is empty."""
        return self._part(name, self._get(name, dict, {}))

    def parts(self, name: str) -> tuple[Fields, ...]:
        """Return a list of objects; absent or null is empty."""
        items = self._get(name, list, [])
        inner = tuple(self._part(f"{name}/{i}", item) for i, item in enumerate(items))
        for number, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.wrong(f"{name}/{number}", _difference(dict, item))
        return inner

    def wrong(self, name: str, problem: str) -> DocumentError:
        """Return the error for a field."""
        return _wrong(self.document, f"{self.pointer}/{name}", problem)

    def _part(self, name: str, value: Mapping[str, Any]) -> Fields:
        return Fields(value, self.document, f"{self.pointer}/{name}")

    def _get(self, name: str, kind: type, default: Any) -> Any:
        found = self.value.get(name)
        if found is None and default is not None:
            return default  # Go's programs write null for what is empty
        if type(found) is not kind:  # a bool is an int in Python, and not in JSON
            raise self.wrong(name, _difference(kind, found))
        return found


def read_document(data: bytes, document: str) -> Fields:
    """Read a JSON document whose outermost value is an object.

    Args: data [as it came]; document [what it is, for messages].
    Raises: DocumentError when it is too long, no JSON, too deep, or no object.
    Spec: RFC 8259.
    """
    if len(data) > LONGEST:
        raise too_long(document, len(data))
    try:
        value = json.loads(
            data, parse_constant=_no_constant, object_pairs_hook=_each_once
        )
        # "\ud800" is half a character: JSON can say it, but it can't be written.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as problem:
        raise _wrong(document, "", f"no JSON: {str(problem)[:100]}") from None
    if not isinstance(value, dict):
        raise _wrong(document, "", _difference(dict, value))
    return Fields(value, document)


def too_long(document: str, size: int) -> DocumentError:
    """Return the error for a document that nobody should read into memory."""
    return _wrong(document, "", f"{size} bytes; {LONGEST} are allowed")


def to_bytes(document: Mapping[str, Any]) -> bytes:
    """Write a document in the one form that the lab uses, so digests are the same."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Some readers take the first, some the last: they would see two documents in one.
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")


def _difference(kind: type, found: Any) -> str:
    shown = f' "{one_line(found, 60)}"' if isinstance(found, str) else ""
    there = "nothing" if found is None else f"{_NAMES[type(found)]}{shown}"
    return f"expected {_NAMES[kind]}, found {there}"


def _wrong(document: str, pointer: str, problem: str) -> DocumentError:
    where = f"{pointer}: " if pointer else ""
    return DocumentError(
        one_line(f"{document}: {where}{problem}", 400),
        "get the image again; if it stays, its maker made a mistake",
        "chapter 11",
        meaning="this document doesn't have the form that the image specification asks",
    )

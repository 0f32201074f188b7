"""Node: a JSON value that knows its place in the document.

    node = Node(json.loads(text), "config.json")
    node.one("process", Process.read)
    node.integer("uid")              config.json: /process/user/uid: "root" is not ...

A missing field has its default, because the specification makes most fields optional;
`needs` names those that are not.

Reading order: Fields, what one field says; Node, what lies deeper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from labkit.errors import DocumentError

Read = TypeVar("Read")
MOST = 2**64 - 1
"""The largest number of any field: a uint64."""

_SHOWN = 60  # characters of a wrong value


class Fields:
    """An object of a document: its fields, and where it stands."""

    __slots__ = ("document", "pointer", "value")

    def __init__(self, value: Any, document: str, pointer: str = "") -> None:
        self.value, self.document, self.pointer = value, document, pointer

    def needs(self, *names: str) -> None:
        """Refuse an object that lacks one of these fields.

        Raises: DocumentError.
        """
        for name in names:
            if self.value.get(name) is None:
                raise self.refusal(name, "is missing", f'add "{name}"')

    def text(self, name: str, default: str = "") -> str:
        """Return a text field."""
        value = self.value.get(name)
        if value is None:
            return default
        if not _is_text(value):
            raise self.no(name, value, "text", 'write it in quotes, as "this"')
        return str(value)

    def flag(self, name: str) -> bool:
        """Return a field that is true or false; false when it is missing."""
        value = self.value.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.no(name, value, "true or false", "write it without quotes")

    def number(self, name: str, least: int = 0, most: int = MOST) -> int | None:
        """Return a whole number in a range, or None when it is missing."""
        value = self.value.get(name)
        if value is None:
            return None
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not least <= value <= most:
            wanted = f"a whole number from {least} to {most}"
            raise self.no(name, value, wanted, "write it without quotes")
        return int(value)

    def integer(self, name: str, least: int = 0, most: int = MOST) -> int:
        """Return a whole number in a range; 0 when it is missing."""
        return self.number(name, least, most) or 0

    def chosen(self, name: str, words: Mapping[str, Read]) -> Read:
        """Return what a word stands for.

        Raises: DocumentError with the words that there are.
        """
        word = self.text(name)
        if word not in words:
            known = ", ".join(filter(None, words))
            raise self.no(name, word, "a word that is known here", f"one of {known}")
        return words[word]

    def refusal(self, name: str, problem: str, hint: str) -> DocumentError:
        """Return the error that says what is wrong with a field."""
        return DocumentError(f"{self.document}: {self.at(name)}: {problem}", hint)

    def no(self, name: str, value: object, wanted: str, hint: str) -> DocumentError:
        """Return the error about a field that isn't what it should be."""
        text = repr(value)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        return self.refusal(name, f"{shown} is not {wanted}", hint)

    def at(self, name: str) -> str:
        """Return a field's place as a JSON pointer (RFC 6901, without its escapes)."""
        return f"{self.pointer}/{name}"


class Node(Fields):
    """An object of a document, with what lies deeper: lists and other objects."""

    __slots__ = ()

    def one(self, name: str, read: Callable[[Node], Read]) -> Read | None:
        """Return what is read from an object, or None when it is missing."""
        value = self.value.get(name)
        return None if value is None else read(self._inner(name, value))

    def each(self, name: str, read: Callable[[Node], Read]) -> tuple[Read, ...]:
        """Return what is read from each object of a list."""
        items = enumerate(self._list(name))
        return tuple(read(self._inner(f"{name}/{n}", value)) for n, value in items)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        items = self._list(name)
        for number, value in enumerate(items):
            if not _is_text(value):
                hint = 'write it in quotes, as "this"'
                raise self.no(f"{name}/{number}", value, "text", hint)
        return tuple(items)

    def numbers(self, name: str, most: int = MOST) -> tuple[int, ...]:
        """Return a list of whole numbers from 0 on."""
        items = {str(n): value for n, value in enumerate(self._list(name))}
        inner = Node(items, self.document, self.at(name))
        return tuple(inner.integer(number, 0, most) for number in items)

    def map(self, name: str) -> dict[str, str]:
        """Return an object whose values are texts."""
        value = self.value.get(name)
        inner = self._inner(name, {} if value is None else value)
        return {key: inner.text(key) for key in inner.value}

    def _inner(self, name: str, value: Any) -> Node:
        if not isinstance(value, dict):
            raise self.no(name, value, "an object", "write it as {...}")
        return Node(value, self.document, self.at(name))

    def _list(self, name: str) -> list[Any]:
        value = self.value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.no(name, value, "a list", "write it as [...]")
        return value


def _is_text(value: object) -> bool:
    # No NUL byte: to Linux, that is where a text ends. No half of a pair ("\\ud800"):
    # JSON can write it, but no file can have it in its name.
    return isinstance(value, str) and "\0" not in value and _is_whole(value)


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)

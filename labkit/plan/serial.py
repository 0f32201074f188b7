"""A plan as JSON, and back: so it can be kept, sent, and applied by another process.

    to_json(Plan(SetHostname("box")))
    {"steps": [{"type": "labkit.primitives.namespaces.SetHostname",
                "fields": {"name": "box"}}]}

JSON and not pickle, because reading it runs no code of the sender's: it can only name
types of the lab's own, and functions that somebody has put into a file. What JSON lacks
is an object with one key that says what it is: {"bytes": "..."}, {"dict": [...]}.

Reading order: to_json, from_json, then the kinds of values.
"""

from __future__ import annotations

import importlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from labkit.errors import DocumentError
from labkit.plan.kept import from_place, place_of
from labkit.plan.plan import Plan
from labkit.plan.step import Step

_OURS = "labkit."


def to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as a JSON-able mapping.

    Raises: DocumentError for a step that holds what can't be written: a function that
        isn't in a file, an open file.
    """
    return {"steps": [_encode(step) for step in plan]}


def from_json(document: Mapping[str, Any]) -> Plan:
    """Return the plan that `to_json` was given.

    Raises: DocumentError for what is no plan, for a type that this lab doesn't have, or
        fields that the type doesn't have.
    """
    listed = document.get("steps") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise DocumentError(
            f"no plan: {_short(document)}", 'a plan is {"steps": [...]}'
        )
    steps = [_decode(item) for item in listed]
    for number, step in enumerate(steps):
        if not isinstance(step, Step):
            raise DocumentError(f"/steps/{number}: no step: {_short(step)}")
    return Plan(*steps)


class _Form(NamedTuple):
    # How a kind of value is written below its key, and read.
    kind: type
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _encode(value: Any) -> Any:
    kind: type = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [_encode(item) for item in value]
    if (key := _KEYS.get(kind)) is not None:
        return {key: _FORMS[key].write(value)}
    if isinstance(value, Enum):
        return {"type": _name(kind), "value": value.value}
    if (names := _names_of_fields(kind)) is not None:
        return {"type": _name(kind), "fields": _fields_of(value, names)}
    if isinstance(value, str):  # a kind of text of the lab's own
        return str(value)
    if callable(value):
        return {"function": place_of(value)}
    raise DocumentError(
        f"{_short(value)}: can't be written into a plan",
        "give the step plain values: numbers, texts, tuples",
        meaning=f"a {type(value).__name__} means nothing in another process",
    )


def _fields_of(value: Any, names: Any) -> dict[str, Any]:
    # What is as it always is goes without saying: that is the half of a plan.
    kind: type = type(value)
    usual = _defaults(kind)
    given = ((name, getattr(value, name)) for name in names)
    return {n: _encode(v) for n, v in given if n not in usual or usual[n] != v}


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "type" in value:
        return _instance(value)
    (key, written), *more = value.items() or (("", None),)
    if key == "function" and not more:
        return from_place(written)
    if key not in _FORMS or more:
        raise DocumentError(
            f"{_short(value)}: no value of a plan", f"one of {', '.join(_FORMS)}"
        )
    return _FORMS[key].read(written)


def _instance(value: dict[str, Any]) -> Any:
    kind = _type(str(value["type"]))
    if "value" in value and issubclass(kind, Enum):
        return kind(value["value"])
    given = {name: _decode(item) for name, item in value.get("fields", {}).items()}
    known, usual = _names_of_fields(kind), _defaults(kind)
    if known is None or not _needed(kind) <= given.keys() <= set(known):
        raise DocumentError(
            f"{value['type']}: has other fields than {', '.join(given) or 'none'}",
            "make the plan again with this version of the lab",
        )
    if issubclass(kind, tuple):
        return kind(**given)
    # Not by __init__, which may take other words than the fields that it fills.
    made, put = object.__new__(kind), object.__setattr__
    for name in known:
        put(made, name, given[name] if name in given else usual[name])
    return made


@cache
def _names_of_fields(kind: type) -> tuple[str, ...] | None:
    if issubclass(kind, tuple):
        return getattr(kind, "_fields", None)
    # The lab's own first: to ask for the other would import the whole of dataclasses.
    for known in ("__labkit_fields__", "__dataclass_fields__"):
        if hasattr(kind, known):
            return tuple(getattr(kind, known))
    return None


@cache
def _defaults(kind: type) -> dict[str, Any]:
    if issubclass(kind, tuple):
        return getattr(kind, "_field_defaults", {})
    fields = getattr(kind, "__labkit_fields__", {}).items()
    return {name: one.default for name, one in fields if one.has_default}


@cache
def _needed(kind: type) -> frozenset[str]:
    return frozenset(_names_of_fields(kind) or ()) - _defaults(kind).keys()


@cache
def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _type(name: str) -> type:
    module, _, short = name.rpartition(".")
    found = None
    if module.startswith(_OURS):
        try:
            found = getattr(importlib.import_module(module), short, None)
        except ModuleNotFoundError:
            found = None
    if not isinstance(found, type):
        raise DocumentError(
            f"{name}: this lab has no such type",
            "make the plan again with this version of the lab",
            meaning="a plan may name steps of the lab, and functions that were kept",
        )
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _pairs(value: Mapping[Any, Any]) -> list[Any]:
    return [[_encode(key), _encode(item)] for key, item in value.items()]


def _sorted(value: frozenset[Any]) -> list[Any]:
    return [_encode(item) for item in sorted(value)]


_FORMS = {
    "bytes": _Form(
        bytes,
        lambda value: b2a_base64(value, newline=False).decode(),
        a2b_base64,
    ),
    "list": _Form(
        list,
        lambda value: [_encode(item) for item in value],
        lambda items: [_decode(item) for item in items],
    ),
    "dict": _Form(
        dict, _pairs, lambda pairs: {_decode(k): _decode(item) for k, item in pairs}
    ),
    "set": _Form(
        frozenset, _sorted, lambda items: frozenset(_decode(item) for item in items)
    ),
    "plan": _Form(Plan, to_json, from_json),
}
_KEYS = {form.kind: key for key, form in _FORMS.items()}
_PLAIN = frozenset((type(None), bool, int, float, str))

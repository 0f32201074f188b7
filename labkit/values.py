"""Values: frozen dataclasses with slots, quick to define.

The standard library's `dataclass` writes six methods for each class as source text and
compiles them when the class is defined. With the two hundred small classes of a runtime
that takes longer than everything else that a container's start does: measured, 85 of
155 ms of processor time for the imports of `labkit-oci create`. Here the six methods
are ordinary functions that all classes share.

    from labkit.values import dataclass      in place of: from dataclasses import ...

Whatever asks `dataclasses` about such a class gets the usual answers (fields, replace,
asdict, is_dataclass, a dataclass derived from it): they are made when first asked for.

Left out: everything but @dataclass(frozen=True, slots=True), with repr=False if wanted.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from dataclasses import replace as replace
    from typing import Any

_REQUIRED: Any = object()
_OURS = "__labkit_fields__"


class _Field:
    # What `field()` returns: a default that is made anew, or what is left out where.
    __slots__ = ("compare", "default", "default_factory", "name", "repr")

    def __init__(self, default: Any = _REQUIRED, **options: Any) -> None:
        self.name, self.default = "", default
        self.default_factory = options.pop("default_factory", None)
        self.repr = options.pop("repr", True)
        self.compare = options.pop("compare", True)
        if options:
            raise TypeError(f"field({', '.join(options)}): use dataclasses for that")

    @property
    def has_default(self) -> bool:
        return self.default is not _REQUIRED

    def value(self, owner: type) -> Any:
        if self.default_factory is not None:
            return self.default_factory()
        if self.default is _REQUIRED:
            raise TypeError(f"{owner.__name__}() needs an argument {self.name!r}")
        return self.default


def field_names(value: object) -> tuple[str, ...]:
    """Return the names of a value's fields, in their order."""
    return tuple(getattr(value, _OURS))


def _dataclass(
    cls: type | None = None, /, *, frozen: bool, slots: bool, repr: bool = True
) -> Any:
    """Return the class with fields made of its annotations: a decorator."""
    if not (frozen and slots):
        raise TypeError("a value is frozen and has slots: else use dataclasses")
    return _defined(cls, repr) if cls else lambda cls: _defined(cls, repr)


def _replace(value: Any, /, **changes: Any) -> Any:
    """Return a copy with some fields changed."""
    kept = {name: getattr(value, name) for name in field_names(value)}
    return type(value)(**(kept | changes))


def _defined(cls: type, with_repr: bool) -> type:
    namespace = dict(cls.__dict__)
    own = _own_fields(namespace)
    fields = {**_inherited(cls), **own}
    there = {name for base in cls.__mro__[1:] for name in getattr(base, _OURS, ())}
    namespace |= {
        "__slots__": tuple(name for name in own if name not in there),
        _OURS: fields,
        "__match_args__": tuple(fields),
        "__dataclass_fields__": _LazyFields(),
        "__dataclass_params__": _LazyParameters(),
        "__signature__": _LazySignature(),
    }
    methods = dict(_METHODS) | ({"__repr__": _repr} if with_repr else {})
    for name, method in methods.items():
        namespace.setdefault(name, method)
    if "__eq__" not in cls.__dict__:
        namespace["__eq__"], namespace["__hash__"] = _eq, _hash
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    made = type(cls)(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__
    return made


def _own_fields(namespace: dict[str, Any]) -> dict[str, _Field]:
    own = {}
    for name, annotation in namespace.get("__annotations__", {}).items():
        if str(annotation).startswith("ClassVar"):
            continue
        given = namespace.pop(name, _REQUIRED)
        own[name] = given if isinstance(given, _Field) else _Field(given)
        own[name].name = name
    return own


def _inherited(cls: type) -> dict[str, _Field]:
    found: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        if _OURS not in base.__dict__ and "__dataclass_fields__" in base.__dict__:
            raise TypeError(f"{base.__name__} is another kind of dataclass")
        found.update(base.__dict__.get(_OURS, {}))
    return found


def _init(self: Any, *args: Any, **named: Any) -> None:
    cls, put = type(self), object.__setattr__
    fields: dict[str, _Field] = getattr(cls, _OURS)
    if len(args) > len(fields):
        raise TypeError(f"{cls.__name__}() takes {len(fields)} arguments at most")
    given = dict(zip(fields, args))  # noqa: B905  fewer arguments than fields
    if twice := given.keys() & named.keys():
        raise TypeError(f"{cls.__name__}() got {', '.join(twice)} twice")
    given.update(named)
    for name, field in fields.items():
        put(self, name, given.pop(name) if name in given else field.value(cls))
    if given:
        raise TypeError(f"{cls.__name__}() takes no argument {', '.join(given)}")


def _eq(self: Any, other: object) -> Any:
    if type(self) is not type(other):
        return NotImplemented
    return _compared(self) == _compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _repr(self: Any) -> str:
    shown = (f.name for f in getattr(self, _OURS).values() if f.repr)
    inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
    return f"{type(self).__qualname__}({inner})"


def _compared(value: Any) -> tuple[Any, ...]:
    fields = getattr(value, _OURS).values()
    return tuple(getattr(value, f.name) for f in fields if f.compare)


def _setattr(self: Any, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _reduce(self: Any) -> tuple[Any, ...]:
    # For copy and pickle: slots of a frozen value can't be set one by one.
    return type(self), tuple(getattr(self, name) for name in field_names(self))


_METHODS = {
    "__init__": _init,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__reduce__": _reduce,
}


class _LazyFields:
    # The standard library's own description of the fields, for those who ask it.
    def __get__(self, value: object, owner: type) -> dict[str, Any]:
        import dataclasses

        fields = {
            field.name: _described(dataclasses, field, owner)
            for field in getattr(owner, _OURS).values()
        }
        setattr(owner, "__dataclass_fields__", fields)  # noqa: B010  in my place
        return fields


class _LazyParameters:
    def __get__(self, value: object, owner: type) -> Any:
        import dataclasses

        like = dataclasses.make_dataclass("like", (), frozen=True, slots=True)
        return like.__dataclass_params__  # type: ignore[attr-defined]


class _LazySignature:
    def __get__(self, value: object, owner: type) -> Any:
        from inspect import Parameter, Signature

        kind = Parameter.POSITIONAL_OR_KEYWORD
        return Signature(
            [
                Parameter(
                    field.name,
                    kind,
                    default=_shown_default(field, Parameter.empty),
                    annotation=_annotation(owner, field.name),
                )
                for field in getattr(owner, _OURS).values()
            ]
        )


def _described(dataclasses: Any, ours: _Field, owner: type) -> Any:
    options: dict[str, Any] = {"repr": ours.repr, "compare": ours.compare}
    if ours.default_factory is not None:
        options["default_factory"] = ours.default_factory
    elif ours.default is not _REQUIRED:
        options["default"] = ours.default
    field = dataclasses.field(**options)
    field.name, field.type = ours.name, _annotation(owner, ours.name)
    field.kw_only, field._field_type = False, dataclasses._FIELD
    return field


def _annotation(owner: type, name: str) -> Any:
    for base in owner.__mro__:
        if name in base.__dict__.get("__annotations__", {}):
            return base.__dict__["__annotations__"][name]
    return None


def _shown_default(field: _Field, none: Any) -> Any:
    if field.default_factory is not None:
        return field.default_factory()
    return none if field.default is _REQUIRED else field.default


if not TYPE_CHECKING:
    dataclass, field, replace = _dataclass, _Field, _replace

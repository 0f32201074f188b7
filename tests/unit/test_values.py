"""A value behaves as the standard library's frozen dataclass with slots does."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import ClassVar

import pytest

from labkit import values


@values.dataclass(frozen=True, slots=True)
class Ours:
    one: int
    two: str = "two"
    many: dict[str, int] = values.field(default_factory=dict)
    raw: object = values.field(default=None, repr=False, compare=False)
    shared: ClassVar[int] = 7


@dataclasses.dataclass(frozen=True, slots=True)
class Theirs:
    one: int
    two: str = "two"
    many: dict[str, int] = dataclasses.field(default_factory=dict)
    raw: object = dataclasses.field(default=None, repr=False, compare=False)
    shared: ClassVar[int] = 7


@values.dataclass(frozen=True, slots=True)
class Derived(Ours):
    three: int = 3


BOTH = pytest.mark.parametrize("kind", [Ours, Theirs])


@BOTH
def test_it_is_made_and_shown_alike(kind: type) -> None:
    made = kind(1, two="2", raw=object())
    assert repr(made) == f"{kind.__name__}(one=1, two='2', many={{}})"
    assert (made.one, made.two, made.many, made.shared) == (1, "2", {}, 7)


@BOTH
def test_each_gets_a_default_of_its_own(kind: type) -> None:
    assert kind(1).many is not kind(1).many


@BOTH
def test_equal_fields_make_equal_values(kind: type) -> None:
    assert kind(1, raw=1) == kind(1, raw=2) != kind(2)
    assert kind(1) != 1


@BOTH
def test_it_cannot_be_changed(kind: type) -> None:
    made = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.one = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.one
    assert not hasattr(made, "__dict__")


@BOTH
@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"one": 1}), ((1,), {"x": 1})],
)
def test_wrong_arguments_are_refused(kind: type, args: tuple, named: dict) -> None:
    with pytest.raises(TypeError):
        kind(*args, **named)


@BOTH
def test_it_is_copied_and_pickled(kind: type) -> None:
    made = kind(1, many={"a": 1})
    assert copy.deepcopy(made) == made == pickle.loads(pickle.dumps(made))


@BOTH
def test_the_standard_library_knows_it(kind: type) -> None:
    assert dataclasses.is_dataclass(kind)
    assert [f.name for f in dataclasses.fields(kind)] == ["one", "two", "many", "raw"]
    assert dataclasses.replace(kind(1), two="x").two == "x"
    assert dataclasses.asdict(kind(1)) == {
        "one": 1,
        "two": "two",
        "many": {},
        "raw": None,
    }
    signature = inspect.signature(kind)
    assert list(signature.parameters) == ["one", "two", "many", "raw"]
    assert signature.parameters["two"].default == "two"


@BOTH
def test_a_pattern_can_match_it(kind: type) -> None:
    match kind(1, "x"):
        case Ours(one, two) | Theirs(one, two):
            assert (one, two) == (1, "x")


def test_frozen_fields_can_be_hashed() -> None:
    @values.dataclass(frozen=True, slots=True)
    class Pair:
        a: int
        b: tuple[int, ...] = ()

    assert {Pair(1), Pair(1), Pair(2)} == {Pair(1), Pair(2)}


def test_fields_are_inherited() -> None:
    made = Derived(1, three=4)
    assert values.field_names(made) == ("one", "two", "many", "raw", "three")
    assert made == Derived(1, three=4) != Derived(1)
    assert values.replace(made, one=9).one == 9


def test_an_ordinary_dataclass_may_derive_from_it() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Learners(Ours):
        mine: int = 5

    assert Learners(1, mine=6).mine == 6
    assert [f.name for f in dataclasses.fields(Learners)][-1] == "mine"


def test_only_frozen_values_with_slots_are_made() -> None:
    with pytest.raises(TypeError):
        values.dataclass(frozen=True, slots=False)(Ours)
    with pytest.raises(TypeError):
        values.field(default=1, kw_only=True)

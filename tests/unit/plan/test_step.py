"""A step is a value: it says what it does, and knows what must stand around it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import ClassVar

import pytest

from labkit.linux import CLONE, Linux
from labkit.plan import Before, FollowedBy, Plan, Requires, Step, step
from labkit.plan.step import After, Rule, matches
from labkit.primitives.namespaces import SetHostname, Unshare


@dataclass(frozen=True, slots=True, repr=False)
class Word(Step):
    """A step that does nothing, for plans that are only looked at."""

    word: str = "word"
    rules: ClassVar[tuple[Rule, ...]] = ()

    def describe(self) -> str:
        return f"say {self.word}"

    def apply(self, linux: Linux) -> int | None:
        return None


class Early(Word):
    """Stands before or after Late, as a rule wants."""


class Late(Word):
    """Has a rule in some tests."""


def plan_of(rule: Rule, *order: type[Word]) -> str:
    """Return what is wrong with an order of Early and Late when Late has a rule."""
    ruled = type("Late", (Late,), {"rules": (rule,), "__slots__": ()})
    return Plan(*(ruled() if kind is Late else kind() for kind in order)).why()


RIGHT = "the order is right"
CASES = [
    # rule, order, what plan.why() says
    (After(Early, "so"), (Early, Late), RIGHT),
    (After(Early, "so"), (Late, Early), "Late must come after Early: so"),
    (After(Early, "so"), (Late,), RIGHT),
    (After(Early, "so"), (Early, Late, Early), RIGHT),
    (Requires(Early, "so"), (Early, Late), RIGHT),
    (Requires(Early, "so"), (Late,), "Late needs Early before it: so"),
    (Requires(Early, "so"), (Late, Early), "Late needs Early before it: so"),
    (FollowedBy(Early, "so"), (Late, Early), RIGHT),
    (FollowedBy(Early, "so"), (Late,), "Early must follow Late: so"),
    (FollowedBy(Early, "so"), (Early, Late), "Early must follow Late: so"),
    (Before(Early, "so"), (Late, Early), RIGHT),
    (Before(Early, "so"), (Late,), RIGHT),
    (Before(Early, "so"), (Early, Late), "Late must come before Early: so"),
]


@pytest.mark.parametrize(("rule", "order", "said"), CASES)
def test_a_rule_is_broken_by_the_wrong_order_only(
    rule: Rule, order: tuple[type[Word], ...], said: str
) -> None:
    assert plan_of(rule, *order) == said


def test_an_example_in_a_rule_means_any_step_that_does_at_least_that() -> None:
    example = Unshare(CLONE.NEWNS)
    assert matches(example, Unshare(CLONE.NEWNS | CLONE.NEWPID))
    assert not matches(example, Unshare(CLONE.NEWPID))
    assert not matches(example, SetHostname("box"))


def test_a_step_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        SetHostname("box").name = "other"  # type: ignore[misc]


def test_steps_with_equal_fields_are_equal() -> None:
    assert Unshare(CLONE.NEWNS) == Unshare(CLONE.NEWNS)
    assert Unshare(CLONE.NEWNS) != Unshare(CLONE.NEWUTS)


def test_a_step_is_written_as_it_was_typed_but_for_the_flags() -> None:
    assert (
        repr(Unshare(CLONE.NEWNS | CLONE.NEWPID)) == "Unshare(CLONE_NEWNS|CLONE_NEWPID)"
    )
    assert repr(SetHostname("box")) == "SetHostname('box')"


def test_a_function_becomes_a_step_with_its_arguments() -> None:
    def greet(linux: Linux, name: str, *, loud: bool) -> None:
        """Say hello."""
        linux.write_file("/dev/null", name if loud else "")

    mine = step(greet, "Ada", loud=True)
    assert repr(mine) == "greet(linux, 'Ada', loud=True)"
    assert mine.describe() == "greet: Say hello."
    assert [call.name for call in Plan(mine).rehearse()] == ["open", "write", "close"]


def test_a_function_without_a_docstring_is_called_your_own_step() -> None:
    def quiet(linux: Linux) -> None: ...

    assert step(quiet).describe() == "quiet: your own step"


def every_step() -> list[type[Step]]:
    """Return every step type of the primitives."""
    import labkit.primitives.cgroups
    import labkit.primitives.devices
    import labkit.primitives.idmap
    import labkit.primitives.mounts
    import labkit.primitives.overlay
    import labkit.primitives.root  # noqa: F401

    found, todo = [], [Step]
    while todo:
        subclasses = todo.pop().__subclasses__()
        todo += subclasses
        found += [one for one in subclasses if one.__module__.startswith("labkit.prim")]
    return found


@pytest.mark.parametrize("kind", every_step(), ids=lambda kind: kind.__name__)
def test_a_primitive_names_its_man_pages_and_takes_only_data(kind: type[Step]) -> None:
    assert kind.man
    assert all(page.endswith(")") for page in kind.man)
    assert not [item.name for item in fields(kind) if "Callable" in str(item.type)]

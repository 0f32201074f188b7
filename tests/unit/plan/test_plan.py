"""A plan is a value: printing, comparing and rehearsing it changes nothing."""

from __future__ import annotations

import pytest

from labkit.errors import OrderError, StateError
from labkit.linux import CLONE, Linux
from labkit.plan import Plan, step
from labkit.primitives.mounts import BindMount, MakePrivate
from labkit.primitives.namespaces import SetHostname, Unshare
from labkit.primitives.process import Exec, Fork
from labkit.primitives.root import PivotRoot

UTS = Unshare(CLONE.NEWUTS)
NAME = SetHostname("box")


def test_it_prints_as_a_numbered_list() -> None:
    text = " 1. new namespaces: uts\n 2. set the host name to box"
    assert repr(Plan(UTS, NAME)) == Plan(UTS, NAME).text() == text


def test_an_empty_plan_says_so() -> None:
    assert repr(Plan()) == "an empty plan"


def test_plans_and_steps_are_joined() -> None:
    assert (Plan(UTS) + NAME).steps == (Plan() + Plan(UTS, NAME)).steps == (UTS, NAME)
    assert Plan(UTS, Plan(NAME)) == Plan(UTS, NAME)


def test_the_difference_is_what_only_the_first_plan_has() -> None:
    assert Plan(UTS, NAME) - Plan(UTS) == (NAME,)
    assert Plan(UTS) - Plan(UTS, NAME) == ()


def test_without_leaves_out_every_step_of_a_type() -> None:
    assert Plan(UTS, NAME, SetHostname("x")).without(SetHostname) == Plan(UTS)


def test_what_is_no_step_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match="part 2 of the plan is no step: 'ls'"):
        Plan(UTS, "ls")  # type: ignore[arg-type]


def test_a_wrong_order_is_refused_with_the_stored_reason() -> None:
    with pytest.raises(OrderError, match="before it, the name would be the host's own"):
        Plan(NAME, UTS).check()


def test_every_broken_rule_is_told() -> None:
    wrong = Plan(BindMount("/a", "/b"), MakePrivate("/"))
    assert wrong.why().count("\n") == 2
    with pytest.raises(OrderError) as refused:
        wrong.check()
    assert "a mount below a shared one" in refused.value.meaning


def test_nothing_is_started_for_a_wrong_order() -> None:
    with pytest.raises(OrderError):
        Plan(PivotRoot("/x")).fork()


def test_a_rehearsal_lists_the_calls_as_in_c() -> None:
    texts = [call.text for call in Plan(UTS, NAME).rehearse()]
    assert texts == ["unshare(CLONE_NEWUTS)", 'sethostname("box", 3)']


def test_a_rehearsal_goes_on_as_the_child_after_a_fork() -> None:
    names = [call.name for call in Plan(Fork(), NAME).rehearse()]
    assert names == ["fork", "sethostname"]


def test_a_rehearsed_function_is_given_a_recorder() -> None:
    def harmful(linux: Linux) -> None:
        linux.kill(1, 9)

    assert [call.text for call in Plan(step(harmful)).rehearse()] == [
        "kill(1, SIGKILL)"
    ]


def test_a_plan_that_starts_no_program_cannot_be_run_to_its_end() -> None:
    with pytest.raises(StateError, match="starts no program"):
        Plan(UTS).run()


def test_exec_wants_a_list_of_words() -> None:
    with pytest.raises(TypeError, match="argv is a list of words"):
        Exec("ls -l")  # type: ignore[arg-type]

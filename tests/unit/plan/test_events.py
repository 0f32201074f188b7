"""What a child tells crosses two processes as JSON and comes out the same."""

from __future__ import annotations

import json
import signal

import pytest

from labkit.linux.call import Call
from labkit.plan.events import Event, Exit, Result, event_from_json
from labkit.text import Text

EVENT = Event(
    1,
    3,
    "set the host name to box",
    "SetHostname",
    "inside",
    12.5,
    (Call("sethostname", 'sethostname("box", 3)', 9.5, "EPERM"),),
    "EPERM",
)


def test_an_event_survives_json() -> None:
    assert event_from_json(json.loads(json.dumps(EVENT.to_json()))) == EVENT


def test_its_repr_has_no_number_that_changes() -> None:
    assert repr(EVENT) == "Event(2/3 set the host name to box: EPERM)"


def test_its_text_has_every_call_with_its_errno() -> None:
    assert EVENT.text().splitlines()[1].strip() == 'sethostname("box", 3): EPERM'


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (0, "exit code 0"),
        (3 << 8, "exit code 3"),
        (signal.SIGKILL, "killed by SIGKILL"),
        (signal.SIGSEGV | 0x80, "killed by SIGSEGV"),
        (signal.SIGRTMIN + 1, f"killed by signal {signal.SIGRTMIN + 1}"),
    ],
)
def test_a_wait_status_is_told_in_words(status: int, meaning: str) -> None:
    assert str(Exit.from_status(status)) == meaning


def test_only_exit_code_0_is_ok() -> None:
    assert Exit(0).ok
    assert not Exit(1).ok
    assert not Exit(None, "SIGKILL").ok


def test_a_result_does_not_print_what_the_program_said() -> None:
    assert repr(Result(Exit(0), Text("pid 4711"))) == "Result(exit code 0)"

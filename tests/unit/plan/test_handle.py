"""What is acquired is written down first, with an owner that can be told dead."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from labkit.errors import DocumentError, StateError
from labkit.plan import handle
from labkit.plan.family import start_time


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of this test only."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))


def owned_by(pid: int, start: int) -> None:
    """Write a record as another process would."""
    kept = handle.record("thing", "box", {})
    fields = json.loads(Path(kept.path).read_text())
    changed = {**fields, "owner_pid": pid, "owner_start": start}
    Path(kept.path).write_text(json.dumps(changed))


def ended_process() -> int:
    """Return the pid of a process that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid


def test_a_record_is_read_back_as_it_was_written() -> None:
    kept = handle.record("thing", "box", {"directory": "/x"})
    assert handle.records() == (kept,)
    assert kept.ours and kept.owner_alive


def test_forgetting_twice_is_fine() -> None:
    kept = handle.record("thing", "box", {})
    kept.forget()
    kept.forget()
    assert handle.records() == ()


def test_an_update_changes_what_the_removal_needs() -> None:
    handle.record("thing", "box", {"pid": 1}).update({"pid": 2})
    assert [record.undo for record in handle.records()] == [{"pid": 2}]


def test_a_cell_that_runs_again_takes_its_own_handle_over() -> None:
    handle.record("thing", "box", {})
    assert handle.take_over("thing", "box") is not None
    assert handle.take_over("thing", "other") is None


def test_a_dead_owners_handle_is_taken_over() -> None:
    owned_by(ended_process(), 1)
    assert handle.take_over("thing", "box") is not None


def test_a_pid_that_was_used_again_is_not_the_owner() -> None:
    owned_by(os.getpid(), (start_time(os.getpid()) or 0) - 1)
    assert not handle.records()[0].owner_alive


def test_another_living_owners_handle_is_refused() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        owned_by(other.pid, start_time(other.pid) or 0)
        with pytest.raises(StateError, match="belongs to another running notebook"):
            handle.take_over("thing", "box")
        other.kill()


def test_a_zombie_owns_nothing() -> None:
    with subprocess.Popen(["true"]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert start_time(other.pid) is None


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "-x", "x" * 65, "ä"])
def test_a_name_that_can_be_no_file_is_refused(name: str) -> None:
    with pytest.raises(DocumentError, match="not a name"):
        handle.record("thing", name, {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": 1}', "null"])
def test_a_record_that_cannot_be_read_has_no_owner(content: str) -> None:
    kept = handle.record("thing", "box", {})
    Path(kept.path).write_text(content)
    [found] = handle.records()
    assert (found.kind, found.owner_alive) == (handle.UNREADABLE, False)

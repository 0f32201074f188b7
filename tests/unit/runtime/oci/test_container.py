"""A container's directory: its record, its lock, its status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import DocumentError, StateError
from labkit.runtime import start_gate
from labkit.runtime.oci import container as module
from labkit.runtime.oci.container import Container, Record, containers, start_time


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def process() -> Iterator[int]:
    """A process that waits."""
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        yield sleeping.pid
        sleeping.kill()


def record(container: Container, pid: int = 0, **more: object) -> Record:
    fields = {"id": container.id, "bundle": "/b", "pid": pid, **more}
    made = Record(**fields, pid_start=start_time(pid) if pid else 0)
    container.write(made)
    return made


def made(root: str, name: str = "box") -> Container:
    container = Container(root, name)
    container.make()
    return container


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "x" * 1025, "ä", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(root: str, name: str) -> None:
    with pytest.raises(DocumentError, match="invalid container id"):
        Container(root, name)


def test_a_name_belongs_to_one_container(root: str) -> None:
    made(root)
    with pytest.raises(StateError, match="already exists"):
        made(root)


def test_one_that_is_not_there_does_not_exist(root: str) -> None:
    for ask in (Container(root, "box").read, Container(root, "box").lock):
        with pytest.raises(StateError, match="does not exist"):
            ask()


def test_what_is_written_is_read(root: str) -> None:
    box = made(root)
    kept = record(box, 42, annotations={"a": "b"}, cgroups={"memory": "/x"})
    assert box.read().to_json() == kept.to_json()


def test_a_record_is_replaced_as_a_whole(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = made(root)
    record(box, annotations={"old": "1"})
    monkeypatch.setattr(module.os, "rename", lambda *_: os._exit(9))
    pid = os.fork()
    if pid == 0:
        record(box, annotations={"new": "1"})
    os.waitpid(pid, 0)
    assert json.loads(Path(box.path("state.json")).read_text())["annotations"] == {
        "old": "1"
    }


def test_one_whose_process_has_ended_is_stopped(root: str, process: int) -> None:
    box = made(root)
    kept = record(box, process)
    assert box.status(kept) == "running"
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    assert box.status(kept) == "stopped"


def test_another_process_with_its_number_is_not_it(root: str, process: int) -> None:
    box = made(root)
    kept = record(box, process)
    kept.pid_start -= 1
    assert box.status(kept) == "stopped"


def test_one_whose_gate_is_closed_is_created(root: str, process: int) -> None:
    box = made(root)
    gate = start_gate.make(box.directory)
    assert box.status(record(box, process)) == "created"
    gate.close()


def test_one_without_a_process_is_creating_while_somebody_makes_it(root: str) -> None:
    box = made(root)
    kept = record(box)
    assert box.status(kept) == "creating"
    box.unlock()
    assert box.status(kept) == "stopped"


def test_a_forked_process_does_not_keep_the_lock(root: str) -> None:
    box = made(root)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    box.unlock()
    assert not Container(root, "box").busy()
    os.close(writing)
    os.close(reading)
    os.waitpid(pid, 0)


def test_who_waits_for_the_lock_of_a_deleted_one_is_told(root: str) -> None:
    box = made(root)
    record(box)
    code = (
        "from labkit.runtime.oci.container import Container\n"
        f"print('waits', flush=True); Container({root!r}, 'box').lock()"
    )
    line = [sys.executable, "-c", code]
    with subprocess.Popen(line, stdout=-1, stderr=-1, text=True) as waiting:
        assert waiting.stdout is not None and waiting.stderr is not None
        waiting.stdout.readline()
        box.forget()
        box.unlock()
        assert "does not exist" in waiting.stderr.read()


def test_only_what_has_a_record_is_listed(root: str) -> None:
    record(made(root, "two"))
    record(made(root, "one"))
    made(root, "half")
    assert [box.id for box in containers(root)] == ["one", "two"]
    assert list(containers(f"{root}/none")) == []

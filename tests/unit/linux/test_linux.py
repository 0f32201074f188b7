"""The object called linux: plain, timed, and a recorder that makes no call."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from labkit.errors import NoSuchPath, WrongProcess
from labkit.linux import CLONE, Linux, Recorder, Timed
from labkit.linux.flags import O
from labkit.linux.syscalls import CHANGE_THE_CALLER
from labkit.linux.table import TABLE


def methods(cls: type) -> dict[str, inspect.Signature]:
    """Return what can be called on a form of linux, with its arguments."""
    found = inspect.getmembers(cls, inspect.isfunction)
    return {n: inspect.signature(f) for n, f in found if not n.startswith("_")}


@pytest.mark.parametrize("form", [Timed, Recorder])
def test_every_form_takes_the_same_calls(form: type) -> None:
    assert methods(form) == methods(Linux)


def test_every_row_of_the_table_is_a_method_and_the_reverse() -> None:
    assert set(methods(Linux)) - {"read_file", "write_file"} == set(TABLE)


@pytest.mark.parametrize("name", sorted(CHANGE_THE_CALLER & set(methods(Linux))))
def test_the_notebook_itself_is_never_changed(name: str) -> None:
    arguments = ["/"] * len(TABLE[name].kinds)
    with pytest.raises(WrongProcess, match="not in this process"):
        Linux()._call(name, *map(_fitting, TABLE[name].kinds, arguments))


def _fitting(kind: object, text: str) -> object:
    """Return an argument that can be written as text; none is ever used."""
    try:
        kind.show(text)  # type: ignore[attr-defined]
    except (ValueError, TypeError):
        return 0
    return text


def test_the_refusal_names_the_call_and_the_way_out() -> None:
    with pytest.raises(WrongProcess) as refused:
        Linux().unshare(CLONE.NEWUTS)
    assert "unshare(CLONE_NEWUTS)" in refused.value.message
    assert "Plan(step).fork()" in refused.value.hint


def test_a_recorder_changes_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.mkdir(str(tmp_path / "new"))
    recorder.unlink("/etc/passwd")
    recorder.execve("/bin/sh", ["sh"], {})
    assert not (tmp_path / "new").exists()
    assert [call.name for call in recorder.calls] == ["mkdir", "unlink", "execve"]


def test_a_recorder_gives_out_descriptors_and_reads_given_texts() -> None:
    recorder = Recorder(files={"/proc/self/uid_map": "0 1000 1"})
    assert recorder.read_file("/proc/self/uid_map") == "0 1000 1"
    assert recorder.read_file("/other") == ""
    assert [recorder.open("/a"), recorder.open("/b")] == [5, 6]


def test_a_timed_call_is_recorded_with_its_duration_and_errno() -> None:
    timed = Timed()
    timed.getpid()
    with pytest.raises(NoSuchPath):
        timed.open("/no/such")
    assert [(call.name, call.error) for call in timed.calls] == [
        ("getpid", None),
        ("open", "ENOENT"),
    ]
    assert all(call.duration_us > 0 for call in timed.calls)


def test_a_file_is_read_whole_and_written_by_one_call(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    Linux().close(Linux().open(path, O.CREAT | O.WRONLY))
    timed = Timed()
    timed.write_file(path, "x" * 100_000)
    assert [call.name for call in timed.calls] == ["open", "write", "close"]
    assert Linux().read_file(path) == "x" * 100_000


def test_what_is_no_utf8_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xe9\xff")
    Linux().write_file(str(path), Linux().read_file(str(path)))
    assert path.read_bytes() == b"\xe9\xff"


def test_an_error_of_write_file_names_the_file() -> None:
    with pytest.raises(OSError, match=r'write\("/dev/full", "x"\): ENOSPC'):
        Linux().write_file("/dev/full", "x")

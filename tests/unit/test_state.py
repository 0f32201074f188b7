"""Where the lab's files lie, and that a crash or a second process can't spoil them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labkit import state
from labkit.errors import HostError
from labkit.linux.views import HostPath


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory for each test."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_labkit_state_moves_all_of_it(own_state: Path) -> None:
    assert state.directory("rootfs") == str(own_state / "rootfs")
    assert (own_state / "rootfs").is_dir()


def test_others_may_pass_through_and_not_list(own_state: Path) -> None:
    state.directory("rootfs")
    assert own_state.stat().st_mode & 0o777 == 0o711


def test_asking_where_it_is_makes_nothing(own_state: Path) -> None:
    assert state.location() == str(own_state)
    assert not own_state.exists()


def test_a_file_in_its_place_is_named_with_a_remedy(own_state: Path) -> None:
    own_state.write_text("not a directory")
    with pytest.raises(HostError) as caught:
        state.directory()
    lines = str(caught.value).splitlines()
    assert str(own_state) in lines[0]
    assert lines[1] == "there is a file where the directory should be"
    assert "LABKIT_STATE" in lines[2]


def test_a_place_that_linux_protects_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STATE", "/proc/labkit-state")
    with pytest.raises(HostError, match="/proc/labkit-state"):
        state.directory()


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = HostPath(str(tmp_path / "one.json"))
    state.write(path, "old")
    state.write(path, "new", 0o600)
    assert Path(path).read_text() == "new"
    assert Path(path).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["one.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.mkdir()
    with pytest.raises(HostError, match="one"):
        state.write(HostPath(str(path)), "new")
    assert os.listdir(tmp_path) == ["one"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = HostPath(str(tmp_path / "one"))
    texts = ["a" * 100_000, "b" * 200_000]
    state.write(path, texts[0])
    seen: set[str] = set()
    writer = threading.Thread(
        target=lambda: [state.write(path, texts[n % 2]) for n in range(20)]
    )
    writer.start()
    while writer.is_alive():
        seen.add(Path(path).read_text())
    writer.join()
    assert seen <= set(texts)


def test_what_a_killed_writer_left_is_found_and_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    half = tmp_path / f".one.{ended.pid}-{ended.pid}.new"
    half.write_text("half")
    assert state.unfinished(HostPath(str(tmp_path))) == (str(half),)
    state.write(HostPath(str(tmp_path / "two")), "whole")
    assert os.listdir(tmp_path) == ["two"]


def test_what_a_living_writer_has_begun_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f".one.{os.getpid()}-1.new").write_text("half")
    assert state.unfinished(HostPath(str(tmp_path))) == ()


def test_a_lock_keeps_another_thread_out() -> None:
    order: list[str] = []

    def second() -> None:
        with state.lock("test"):
            order.append("second")

    with state.lock("test"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_lock_that_is_not_free_names_its_owner() -> None:
    with state.lock("test"):
        with pytest.raises(HostError) as caught, state.lock("test", timeout_s=0.05):
            pass
        assert f"process {os.getpid()}" in str(caught.value)


def test_a_forked_child_does_not_keep_the_lock() -> None:
    with state.lock("test"):
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        with state.lock("test", timeout_s=0.05):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_error_inside_gives_the_lock_back() -> None:
    with pytest.raises(RuntimeError), state.lock("test"):
        raise RuntimeError
    with state.lock("test", timeout_s=0.05):
        pass


HOLDER = """
from labkit import state
with state.lock("test"):
    print("held", flush=True)
    input()
"""


def test_a_killed_owner_gives_the_lock_back() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    owner.stdout.readline()
    with pytest.raises(HostError), state.lock("test", timeout_s=0.05):
        pass
    owner.kill()
    owner.communicate()
    with state.lock("test", timeout_s=0.05):
        pass


def test_a_forked_child_that_leaves_the_block_keeps_its_parents_lock() -> None:
    parent, left = os.getpid(), 0
    try:
        with state.lock("test"):
            left = os.fork()
            if left == 0:
                raise RuntimeError
            os.waitpid(left, 0)
            with pytest.raises(HostError), state.lock("test", timeout_s=0.05):
                pass
    finally:
        if os.getpid() != parent:
            os._exit(0)

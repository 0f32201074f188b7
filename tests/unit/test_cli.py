"""The command `labkit`, as its user sees it: answers, errors, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import labkit
from labkit.cli import main
from labkit.doctor.chapters import CHAPTERS

LABKIT = [sys.executable, "-m", "labkit"]


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory for each test."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


Captured = pytest.CaptureFixture[str]


def test_it_knows_its_version(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"labkit {labkit.__version__}\n"


def test_without_a_command_it_says_what_there_is(capsys: Captured) -> None:
    assert main([]) == 0
    assert "say what is real on this machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["foo"], "'foo'"),
        (["doctor", "--bla"], "--bla"),
        (["rootfs"], "which one?"),
        (["rootfs", "--remove"], "which one?"),
        (["rootfs", "alpine", "extra"], "extra"),
    ],
)
def test_a_command_line_that_makes_no_sense_gets_three_lines(
    argv: list[str], named: str, capsys: Captured
) -> None:
    assert main(argv) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert named in lines[0]
    assert lines[2].startswith("try: labkit")


def test_an_unknown_root_is_an_error_of_the_labs(capsys: Captured) -> None:
    assert main(["rootfs", "bash"]) == 1
    answer = capsys.readouterr()
    assert answer.out == ""
    assert answer.err.startswith('root filesystem "bash": no such name\n')


def test_the_answer_of_rootfs_is_its_path(capsys: Captured, own_state: Path) -> None:
    assert main(["rootfs", "alpine"]) == 0
    answer = capsys.readouterr()
    assert answer.out == f"{own_state}/rootfs/alpine\n"
    assert "no apk" in answer.err


def test_damage_is_named_on_the_way(capsys: Captured, own_state: Path) -> None:
    main(["rootfs", "alpine"])
    (own_state / "rootfs/alpine/etc/hosts").unlink()
    capsys.readouterr()
    assert main(["rootfs", "alpine"]) == 0
    assert "was damaged: /etc/hosts is missing; put back" in capsys.readouterr().err


def test_a_root_can_be_removed_twice(capsys: Captured, own_state: Path) -> None:
    main(["rootfs", "alpine"])
    assert main(["rootfs", "alpine", "--remove"]) == 0
    assert main(["rootfs", "alpine", "--remove"]) == 0
    assert not (own_state / "rootfs/alpine").exists()


def test_the_list_says_what_is_made(capsys: Captured) -> None:
    main(["rootfs", "--list"])
    assert capsys.readouterr().out.startswith("alpine  not made yet")
    main(["rootfs", "alpine"])
    main(["rootfs", "--list"])
    assert "rootfs/alpine  (the lab's own" in capsys.readouterr().out


def test_the_doctors_json_and_exit_code_agree(capsys: Captured) -> None:
    code = main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code
    assert len(document["chapters"]) == len(CHAPTERS)


def test_the_doctor_works_where_the_state_cannot_be_written(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_STATE", "/etc/passwd/state")
    assert main(["doctor"]) == 1
    assert "you can't write to /etc/passwd/state" in capsys.readouterr().out


def test_help_needs_none_of_the_modules_that_do_the_work() -> None:
    program = """
import sys
from labkit.cli import main
main([])
work = ("labkit.doctor", "labkit.rootfs", "labkit.sweep", "labkit.widgets", "IPython")
print([name for name in sys.modules if name.startswith(work)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("\n[]\n")


def test_a_reader_that_goes_away_is_no_error() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    done = subprocess.run(
        [*LABKIT, "doctor"], stdout=write_fd, stderr=subprocess.PIPE, check=False
    )
    os.close(write_fd)
    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE


def test_an_interrupt_ends_without_a_traceback(own_state: Path) -> None:
    holder = (
        "from labkit import state\nwith state.lock('rootfs'):\n print(1, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{holder}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        waiting = subprocess.Popen(
            [*LABKIT, "rootfs", "alpine"], stderr=subprocess.PIPE
        )
        while not opened(waiting.pid, own_state / "locks/rootfs"):
            time.sleep(0.01)
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate()
        owner.communicate(b"\n")
    assert waiting.returncode == 130
    assert said == b"labkit: interrupted\n"


def opened(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    try:
        links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    except FileNotFoundError:
        return False
    return str(path) in links

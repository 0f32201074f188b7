"""The check that runs after every test module finds what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.style.sources import PROJECT
from tests.support.ours import hierarchies
from tests.support.private_state import MARK

PLUGINS = ("private_state", "nothing_left")
# The same names for every run, so that what a killed one left is found again.
DIRECTORY = Path("/dev/shm/labkit-leak-check")
CGROUP = Path(hierarchies()[0], "labkit-leak-check")
SECONDS = 5  # longer than the check waits; then these processes end by themselves

# What a careless test does, and what the check calls it.
PROCESSES = {
    f'subprocess.Popen(["sleep", "{SECONDS}.1"])': f"sleep {SECONDS}.1",
    f'subprocess.Popen(["setsid", "sleep", "{SECONDS}.2"])': f"sleep {SECONDS}.2",
    f"os.fork() or (os.setsid(), time.sleep({SECONDS}))": "-m pytest",
}
BY_ROOT = {
    f'os.mkdir("{CGROUP}")': f"cgroup {CGROUP}",
    f'os.mkdir("{DIRECTORY}")': f"directory {DIRECTORY}",
    f'os.system("mount -t tmpfs labkit {DIRECTORY}")': f"mount {DIRECTORY}",
}


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """What the careless tests leave is removed after all."""
    yield
    if DIRECTORY.is_mount():
        subprocess.run(["umount", DIRECTORY], check=True)
    for path in filter(Path.exists, (DIRECTORY, CGROUP)):
        path.rmdir()


def test_the_check_finds_processes(tmp_path: Path) -> None:
    """A child, one in a session of its own, a forked copy of Python."""
    said = says_of(PROCESSES, tmp_path)
    assert [words for words in PROCESSES.values() if words not in said] == []


@pytest.mark.usefixtures("as_root")
def test_the_check_finds_what_root_leaves(tmp_path: Path) -> None:
    """A cgroup, a directory, a mount."""
    said = says_of(BY_ROOT, tmp_path)
    assert [words for words in BY_ROOT.values() if words not in said] == []


def test_the_check_has_nothing_to_say_of_a_careful_test(tmp_path: Path) -> None:
    """Which undoes what it did."""
    assert "1 passed" in says_of(['subprocess.run(["true"])'], tmp_path)


def says_of(lines: Iterable[str], directory: Path) -> str:
    """Return what pytest prints for a test that consists of these lines."""
    test = directory / "test_one.py"
    body = "".join(f"    {line}\n" for line in lines)
    test.write_text(f"import os, subprocess, time\n\ndef test_one():\n{body}")
    plugins = [f"-ptests.support.{name}" for name in PLUGINS]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    del environment[MARK]  # a run of its own, not one inside ours
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", directory, *plugins, test],
        env=environment, text=True, capture_output=True, timeout=60, check=False,
    ).stdout  # fmt: skip

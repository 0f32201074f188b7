"""`make test` runs two lanes: its exit code, its output, its end by an interrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.sources import PROJECT

MAKEFILE = """
good: ; @echo good says so
bad: ; @echo bad says so; exit 3
beside: ; @echo "beside: $$LABKIT_TEST_BESIDE"
slow: ; @$(PYTHON) -c "$$SLOW"
last: ; @test -s $$LABKIT_HOST_BEFORE -o -e $$LABKIT_HOST_BEFORE && echo last look
"""
# A test that tidies up when it is interrupted, and another one beside it.
SLOW = """
import os, pathlib, time
lane = os.environ.get("LABKIT_TEST_BESIDE", "0")
try:
    pathlib.Path("begun-" + lane).touch()
    while not all(os.path.exists(f"begun-{n}") for n in (0, 1)): time.sleep(0.02)
    print("both are at work", flush=True)
    time.sleep(60)
except KeyboardInterrupt: pathlib.Path("tidied-" + lane).touch()
"""
RUN = (
    "import sys; from tests.support.lanes import main; sys.exit(main({}, {}, ['last']))"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Makefile with targets that pass, fail and take long."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    return tmp_path


def lanes(project: Path, here: list[str], vm: list[str]) -> subprocess.Popen[str]:
    """Start the two lanes."""
    about = {"PYTHONPATH": str(PROJECT), "PYTHON": sys.executable, "SLOW": SLOW}
    return subprocess.Popen(
        [sys.executable, "-c", RUN.format(here, vm)], cwd=project, text=True,
        env={**os.environ, **about}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_a_run_passes_when_all_of_it_does(project: Path) -> None:
    run = lanes(project, ["good"], ["good", "beside"])
    said, _ = run.communicate(timeout=20)
    assert run.returncode == 0
    assert said.count("good says so") == 2
    assert "beside: 1" in said
    assert said.index("last look") > said.index("make test: vm: passed")


@pytest.mark.parametrize(
    ("here", "vm"), [(["bad", "good"], ["good"]), (["good"], ["bad", "good"])]
)
def test_one_failure_fails_the_run_and_hides_nothing(
    project: Path, here: list[str], vm: list[str]
) -> None:
    run = lanes(project, here, vm)
    said, _ = run.communicate(timeout=20)
    assert run.returncode == 1
    assert said.count("good says so") == 2
    assert "FAILED" in said
    assert "last look" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_both_lanes_and_lets_them_tidy_up(
    project: Path, number: signal.Signals
) -> None:
    run = lanes(project, ["slow"], ["slow"])
    assert run.stdout is not None
    assert run.stdout.readline() == "both are at work\n"
    run.send_signal(number)
    said, _ = run.communicate(timeout=20)
    assert run.returncode == 130
    assert sorted(one.name for one in project.glob("tidied-*")) == [
        "tidied-0",
        "tidied-1",
    ]
    assert "last look" not in said

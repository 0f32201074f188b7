"""The benchmark runs, on this machine and with the programs that it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import table
from tests.style.sources import PROJECT

pytestmark = pytest.mark.usefixtures("as_root")


def test_one_round_measures_the_lab_beside_the_others() -> None:
    line = [sys.executable, "-m", "tests.bench", "--rounds", "1"]
    done = subprocess.run(line, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [row.split()[0] for row in done.stdout.splitlines()[1:-2]]
    assert {"labkit", "start", "unshare"} <= set(rows)
    assert not list(Path("/sys/fs/cgroup").glob("*/labkit-bench*"))


def test_the_table_has_medians_percentiles_and_ratios() -> None:
    taken = {"labkit": [0.020] * 19 + [0.100], "runc": [0.040] * 20}
    _, labkit, runc, *_ = table(taken, 20).splitlines()
    assert labkit.split()[:2] == ["labkit", "20.0"] and labkit.endswith("0.50")
    assert runc.endswith("1.00")

"""A skipped test says which fact is missing; LABKIT_NO_SKIPS=1 makes it a failure.

A reason begins with a short name: "cgroup-v2: this machine has version 1". With
LABKIT_ALLOW_SKIPS="cgroup-v2 subuid" those two stay skips all the same.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def need(name: str, there: object, missing: str) -> None:
    """Skip the test unless a fact about this machine is there; say which isn't."""
    __tracebackhide__ = True  # the list of skips then names the test
    if not there:
        pytest.skip(f"{name}: {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where the caller wants none."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Do the same for a module that skips itself."""
    report = yield
    _judge(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what turns skips into failures, below the list of them."""
    if terminalreporter.stats.get("skipped"):
        terminalreporter.write_line(
            "LABKIT_NO_SKIPS=1 turns skips into failures, but for those that "
            "LABKIT_ALLOW_SKIPS names"
        )


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or os.environ.get("LABKIT_NO_SKIPS") != "1":
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
    name = reason.removeprefix("Skipped: ").partition(":")[0]
    if name not in os.environ.get("LABKIT_ALLOW_SKIPS", "").split():
        report.outcome = "failed"
        report.longrepr = f"skipped, and LABKIT_NO_SKIPS=1 is set: {reason}"

"""The table of chapter 07: a container beside a virtual machine."""

from __future__ import annotations

import json

import pytest

from labkit.errors import HostError
from labkit.vm import beside
from labkit.vm.beside import RECORDED, Beside, Took
from labkit.vm.machine import KVM, TCG

CONTAINER = Took("6.18", 0.02, 2 << 20)
MACHINE = Took("6.1", 2, 200 << 20, KVM)


def test_the_table_says_how_many_times_as_much() -> None:
    lines = Beside(("uname", "-r"), CONTAINER, MACHINE).text().splitlines()
    assert lines[0].split("  ")[-1].strip() == "a virtual machine (KVM)"
    assert lines[1].split() == ["uname", "-r", "6.18", "6.1"]
    assert lines[2].split()[-6:] == ["20", "ms", "2.0", "s", "100", "times"]
    assert lines[3].split()[-6:] == ["2.0", "MiB", "200.0", "MiB", "100", "times"]


def test_what_was_not_measured_is_not_compared() -> None:
    shown = Beside(("true",), Took("", 0.02, 0), MACHINE).text().splitlines()[3]
    assert "not measured" in shown and "times" not in shown


def test_a_recorded_machine_is_called_so_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(argv: object) -> Took:
        raise HostError("there is no Linux to boot", "labkit vm build")

    monkeypatch.setattr(beside, "in_container", lambda argv: CONTAINER)
    monkeypatch.setattr(beside, "in_machine", none)
    shown = beside.beside(beside.COMMAND)
    text = shown.text()
    recorded = json.loads(RECORDED.read_text())
    assert recorded["machine"]["accelerator"] in (KVM, TCG)
    assert recorded["machine"]["seconds"] > recorded["container"]["seconds"] > 0
    assert "here and now the container took 20 ms" in text
    assert "recorded)" in text.splitlines()[0]
    assert f"recorded: {recorded['recorded']}" in text
    assert text.endswith(
        "not measured here: there is no Linux to boot; labkit vm build"
    )
    assert "recorded)" in repr(shown) and "recorded)" in shown._repr_html_()
    with pytest.raises(HostError, match="no Linux to boot"):
        beside.beside(["ls"])

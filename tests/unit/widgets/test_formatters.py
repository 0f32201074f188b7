"""How a cell shows the lab's values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.doctor import examine
from labkit.errors import LabError, syscall_error
from labkit.host import probe
from labkit.linux.flags import NamespaceType
from labkit.plan import Event, Plan
from labkit.primitives.namespaces import Namespaces, SetHostname
from labkit.widgets.formatters import register

EVENT = Event(0, 1, "go", "Chdir", "inside", 21.0, ())


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of IPython's own, in which the lab's types have pictures."""
    shell = InteractiveShell.instance()
    register(shell)
    yield shell
    shell.set_custom_exc((), None)
    InteractiveShell.clear_instance()


def shown(shell: Any, value: object) -> dict[str, str]:
    """Return what a cell would show of a value: MIME type to text."""
    caught: list[dict[str, str]] = []
    publish, shell.display_pub.publish = (
        shell.display_pub.publish,
        lambda data, **_: caught.append(data),
    )
    try:
        data, _ = shell.display_formatter.format(value)
    finally:
        shell.display_pub.publish = publish
    return caught[0] if caught else data


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Plan(SetHostname("box")), "set the host name to box"),
        (syscall_error("chroot(&path)", 1), "chroot(&amp;path): EPERM"),
        (Namespaces.of(), "the tree of mounts"),
        (EVENT, "Step 1 of 1"),
        ((EVENT, EVENT), "What just happened"),
        (Plan(SetHostname("box")).rehearse(), "this is a rehearsal"),
        (examine(probe()), "what is real on this machine"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_the_lab_has_a_picture(
    shell: InteractiveShell, value: object, words: str
) -> None:
    assert words in shown(shell, value)["text/html"]


def test_other_values_look_as_ever(shell: InteractiveShell) -> None:
    assert shown(shell, (1, "two")) == {"text/plain": "(1, 'two')"}
    assert shown(shell, ()) == {"text/plain": "()"}
    assert shown(shell, frozenset({1})) == {"text/plain": "frozenset({1})"}


def test_a_difference_of_namespaces_has_an_order(shell: InteractiveShell) -> None:
    kinds = frozenset({NamespaceType.UTS, NamespaceType.MOUNT, NamespaceType.PID})
    assert shown(shell, kinds)["text/plain"] == "{mount, pid, uts}"


def test_an_error_shows_three_lines_and_its_traceback_in_a_fold(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    caught: list[dict[str, str]] = []
    shell.display_pub.publish = lambda data, **_: caught.append(data)  # type: ignore[method-assign]
    shell.user_ns["error"] = LabError("a failed", "do b", "c(2)", meaning="it means d")
    shell.run_cell("raise error")
    (card,) = caught
    assert card["text/plain"] == "a failed\nit means d\ntry: do b (see c(2))"
    assert "full traceback" in card["text/html"]
    printed = capsys.readouterr().out
    assert "it means d" in printed
    assert "Traceback" not in printed


def test_outside_ipython_nothing_is_registered() -> None:
    InteractiveShell.clear_instance()
    register()
    assert not InteractiveShell.initialized()

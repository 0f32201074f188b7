"""A view's life: shown, watched, settled, closed by the next run of its cell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.widgets import cells
from labkit.widgets.html import Html, tag
from labkit.widgets.still import Still
from labkit.widgets.view import PageView


class Published(list[dict[str, Any]]):
    """What a shell was asked to display, oldest first."""

    def publish(self, data: dict[str, Any], **more: Any) -> None:
        self.append({"data": data, **more})


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of IPython's own, whose displays are kept."""
    shell = InteractiveShell.instance()
    shell.display_pub = Published()
    yield shell
    InteractiveShell.clear_instance()


def drawn(*, numbers: bool) -> Html:
    """A drawing with a number that differs from run to run."""
    return tag("p", "a pid: ", 4711 if numbers else "")


def hello(view: PageView) -> None:
    """Send what the browser sends every two seconds."""
    view._handle_custom_msg({"do": "lease"}, [])


def test_numbers_are_shown_once_a_browser_is_there(shell: Any) -> None:
    view = Still(drawn, "a pid")
    view._ipython_display_()
    (first,) = shell.display_pub
    assert "4711" not in first["data"]["text/html"]
    hello(view)
    last = shell.display_pub[-1]
    assert last["update"]
    assert "4711" in last["data"]["text/html"]
    assert set(last["data"]) == {"text/html", "text/plain"}
    assert view.comm is None


def test_without_a_browser_nothing_changes(shell: Any) -> None:
    view = Still(drawn, "a pid")
    view._ipython_display_()
    view.settle()
    assert len(shell.display_pub) == 1


def test_a_view_is_watched_while_the_browser_says_so() -> None:
    view = Still(drawn, "a pid")
    assert not view.watched()
    view._until_s = time.monotonic() + 60
    assert view.watched()
    view._until_s = time.monotonic() - 1
    assert not view.watched()
    view.close()
    assert not view.watched()


def test_a_running_cell_is_a_sign_of_life(shell: Any) -> None:
    seen: list[tuple[bool, bool]] = []
    view = Still(drawn, "a pid")
    shell.user_ns.update(look=lambda: seen.append((cells.running(), view.watched())))
    view._until_s = time.monotonic() - 1
    shell.run_cell("look()", cell_id="one")
    assert seen == [(True, True)]
    assert not cells.running()


def test_the_views_of_a_cell_close_when_it_runs_again(shell: Any) -> None:
    shell.user_ns.update(Still=Still, drawn=drawn)
    cells.adopt(Still(drawn, "a pid"))  # from here on, cells are known
    shell.run_cell("a, b = Still(drawn, 'a'), Still(drawn, 'b')", cell_id="one")
    first = (shell.user_ns["a"], shell.user_ns["b"])
    assert all(view.comm is not None for view in first)
    shell.run_cell("c = Still(drawn, 'c')", cell_id="two")
    assert all(view.comm is not None for view in first)
    shell.run_cell("a = Still(drawn, 'a')", cell_id="one")
    assert all(view.comm is None for view in first)
    assert shell.user_ns["c"].comm is not None

"""The map of namespaces: what two processes share, and what not."""

from __future__ import annotations

import time

from labkit.linux.flags import NamespaceType
from labkit.linux.views import ContainerPid, HostPid
from labkit.widgets.namespaces_view import NamespacesView, TwoPids

HERE = {kind: 4026530000 + number for number, kind in enumerate(NamespaceType)}
THERE = HERE | {NamespaceType.UTS: 4026539999, NamespaceType.PID: 4026539998}


def test_a_kind_is_shared_or_differs() -> None:
    text = NamespacesView(HERE, THERE).text()
    assert "uts      differs" in text
    assert "user     shared" in text
    assert text.startswith("2 of 8 differ: pid, uts")


def test_numbers_are_in_the_picture_only() -> None:
    view = NamespacesView(HERE, THERE)
    assert "4026539999" in view.picture(numbers=True)
    assert "40265" not in view.picture(numbers=False) + view.text() + repr(view)


def test_one_process_has_two_numbers() -> None:
    who = [
        TwoPids("sleep", HostPid(4711), ContainerPid(1)),
        TwoPids("init", HostPid(1), None),
    ]
    view = NamespacesView(HERE, THERE, processes=who)
    assert "4711" in view.html
    assert "4711" not in view.picture(numbers=False)
    assert "sleep: PID 1 inside\ninit: not visible inside" in view.text()


def test_a_second_process_can_be_read_again() -> None:
    now = dict(HERE)
    view = NamespacesView(HERE, lambda: dict(now))
    now[NamespaceType.NETWORK] = 1
    assert view.read()
    assert "network  differs" in view.text()


def test_it_keeps_the_last_picture_when_the_process_ends() -> None:
    def gone() -> dict[NamespaceType, int]:
        if time.monotonic() > ends_s:
            raise FileNotFoundError("/proc/4711/ns")
        return dict(THERE)

    ends_s = time.monotonic() + 60
    view = NamespacesView(HERE, gone)
    ends_s = 0
    assert not view.sample()
    assert not view.follows()
    assert "ended" in view.html
    assert "uts      differs" in view.text()

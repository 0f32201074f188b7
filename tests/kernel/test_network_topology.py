"""A topology says what Linux has, and two of them what has changed."""

from __future__ import annotations

import socket

import pytest

from labkit.network import Network
from labkit.network.topology import Talk, Topology
from tests.kernel.probed_once import container
from tests.kernel.test_network import SERVE, address, listens
from tests.kernel.watching import becomes_true

pytestmark = pytest.mark.usefixtures("as_root")
PORT = 28200
UNCHANGED = "nothing has changed"


def test_before_and_after_differ_by_what_was_made_and_by_nothing_after_the_end() -> (
    None
):
    network = Network.create("seen")
    with container("keeps", network="seen") as keeps:
        keeps.start()
        before = Topology.read()
        with container("web", SERVE, network="seen", publish=[f"{PORT}:80"]) as web:
            web.start()
            came = (Topology.read() - before).came
            assert {
                f"host: link cable of web, plugged into {network.bridge}",
                "web: link eth0",
                f"web: address {address(web)}",
                f"web: route default by eth0 through {network.gateway}",
                f"web: published 0.0.0.0:{PORT}->80/tcp",
            } <= set(came)
        assert becomes_true(lambda: (Topology.read() - before).text() == UNCHANGED)
    network.remove()


def test_who_talks_to_whom_is_seen_while_they_do() -> None:
    with container("web", SERVE, network="bridge", publish=[f"{PORT}:80"]) as web:
        web.start()
        assert becomes_true(lambda: listens(web))
        assert Topology.read().talks == ()
        with socket.create_connection((address(web), 80)):
            assert becomes_true(
                lambda: Topology.read().talks == (Talk("host", "web", 80),)
            )

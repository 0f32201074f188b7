"""Whoever is killed, before or after whatever step: nothing half-made is left.

After the death of the notebook that asked for a container, or of the fork server, the
container goes on under its monitor, with its output and its exit code. After the death
of its monitor it is ended, and recorded as lost.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import ChildLost, LabError
from labkit.host import Host
from labkit.linux.views import HostPath
from labkit.network.attachment import Wish, attach
from labkit.network.leases import Lease
from labkit.network.links import ConnectVeth
from labkit.network.steps import OpenNetwork
from labkit.plan import Where
from labkit.runtime.ending import ending_in
from labkit.runtime.fork_server import ForkServer, Monitored
from labkit.runtime.request import Request
from tests.kernel.bundles import Bundle, new_bundle
from tests.kernel.monitored import (
    directory_of,
    kill_monitor_of,
    monitor_of,
    nothing_is_left_of,
    parts,
    places_for,
    said,
)
from tests.kernel.stopped import Stop, Stopped, stops_of
from tests.kernel.watching import PATIENCE_S, becomes_true, descendants_of, is_gone

# Hundreds of containers: minutes, under emulation.
pytestmark = [pytest.mark.usefixtures("as_root"), pytest.mark.timeout(600)]
PROGRAM = ("sh", "-c", "echo still; exit 7")
FIRST_ID = 200_000
AT_ONCE = 20  # containers that stand when their server is killed

Made = Callable[[str], AbstractContextManager[Request]]


@pytest.fixture(scope="module")
def bundle(host: Host) -> Iterator[Bundle]:
    """A bundle for a plan with as many kinds of steps outside as there are."""
    with new_bundle(host) as made:
        row = {"containerID": 0, "hostID": FIRST_ID, "size": 65_536}
        made.linux["namespaces"].append({"type": "user"})
        made.linux.update(uidMappings=[row], gidMappings=[row])
        made.linux["resources"]["memory"] = {"limit": 64 << 20}
        made.document["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
        given = {"type": "bind", "source": str(made.path), "options": ["bind", "ro"]}
        made.document["mounts"].append({"destination": "/data", **given})
        made.process["args"] = list(PROGRAM)
        for path in (made.path / "rootfs", *(made.path / "rootfs").rglob("*")):
            os.chown(path, FIRST_ID, FIRST_ID, follow_symlinks=False)
        yield made


@pytest.fixture(params=["layers", "planned"])
def make(request: pytest.FixtureRequest, host: Host) -> Made:
    """Make the parts of a container; say what a fork server is asked for."""
    if request.param == "layers":
        return lambda name: with_layers(name, host)
    bundle: Bundle = request.getfixturevalue("bundle")
    return lambda name: planned(name, bundle)


@contextmanager
def with_layers(name: str, host: Host) -> Iterator[Request]:
    """Make a container's layers; the rest is made by its plan."""
    with parts(name, host) as one:
        yield one.request(PROGRAM)


@contextmanager
def planned(name: str, bundle: Bundle) -> Iterator[Request]:
    """Have a container planned as a runtime does, and give it a network."""
    places = places_for(name, bundle.host)
    own = replace(bundle, places=places, situation={"container_id": name})
    attachment = attach(name, Wish())
    try:
        groups = tuple(dict.fromkeys(place.directory for place in places))
        plan = attachment.wire(own.plan())
        yield Request(name, directory_of(name), plan, groups)
    finally:
        attachment.release()


def test_the_monitor_may_be_killed(
    server: ForkServer, make: Made, tmp_path: Path
) -> None:
    with make("stops") as request:
        for stop in stops_of(request.plan):
            one = Stopped.at(stop, request, tmp_path)
            answer = asked(server, one.request)
            assert one.stands(), stop
            family = descendants_of(monitor_of(request.name))
            kill_monitor_of(request.name)
            with pytest.raises(ChildLost):
                answer.result(PATIENCE_S)
            assert becomes_true(lambda: all(map(is_gone, family))), stop  # noqa: B023
            # Nobody looks for it: the server has heard of it.
            assert nothing_stays_of(request), stop
            ending = ending_in(request.directory)
            assert ending is not None and ending.lost and ending.code is None, stop


def test_the_notebook_may_be_killed(
    server: ForkServer, make: Made, tmp_path: Path
) -> None:
    with make("stops") as request:
        stops = stops_of(request.plan)
    for stop in stops:
        with make("stops") as request:
            one = Stopped.at(stop, request, tmp_path)
            notebook = a_notebook_that_asks(server, one.request)
            assert one.stands(), stop
            os.kill(notebook, signal.SIGKILL)
            os.waitpid(notebook, 0)
            one.go_on()
            assert nothing_stays_of(request), stop
            if ending_in(request.directory) or has_its_network(stop, request):
                assert_it_went_on(request, stop)


@pytest.mark.parametrize("make", ["planned"], indirect=True)
def test_the_server_may_be_killed(make: Made, tmp_path: Path) -> None:
    with make("stops") as request:
        stops = stops_of(request.plan)
    for first in range(0, len(stops), AT_ONCE):
        server = ForkServer.at(HostPath(str(tmp_path)))
        with ExitStack() as stack:
            every = [
                Stopped.at(stop, stack.enter_context(make(f"stops{n}")), tmp_path)
                for n, stop in enumerate(stops[first : first + AT_ONCE])
            ]
            answers = [asked(server, one.request) for one in every]
            for one in every:
                assert one.stands(), one.stop
            victim = server.pid
            os.kill(victim, signal.SIGKILL)
            assert becomes_true(lambda: is_gone(victim))  # noqa: B023
            for one, answer in zip(every, answers, strict=True):
                one.go_on()
                answer.result(PATIENCE_S).wait_until_gone()
                assert nothing_stays_of(one.request), one.stop
                assert_it_went_on(one.request, one.stop)


def test_a_hook_that_runs_ends_with_the_monitor(
    server: ForkServer, bundle: Bundle
) -> None:
    hooks = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "1000"]}]}
    endless = replace(bundle, document={**bundle.document, "hooks": hooks})
    with planned("stops", endless) as request:
        answer = asked(server, request)
        assert becomes_true(lambda: "sleep" in names_below(request))
        family = descendants_of(monitor_of(request.name))
        kill_monitor_of(request.name)
        with pytest.raises(ChildLost):
            answer.result(PATIENCE_S)
        assert becomes_true(lambda: all(map(is_gone, family)))
        assert nothing_stays_of(request)


def names_below(request: Request) -> list[str]:
    """Return the names of the processes of a container that is being made."""
    monitor = monitor_of(request.name)
    family = descendants_of(monitor) if monitor else []
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in family]


def asked(server: ForkServer, request: Request) -> Future[Monitored]:
    """Ask for a container in a thread, which waits until its program runs."""
    answer: Future[Monitored] = Future()

    def ask() -> None:
        try:
            answer.set_result(server.start(request))
        except LabError as refused:
            answer.set_exception(refused)

    threading.Thread(target=ask, daemon=True).start()
    return answer


def a_notebook_that_asks(server: ForkServer, request: Request) -> int:
    """Have another process ask for a container, as its lease's owner; return who."""
    pid = os.fork()
    if pid == 0:
        try:
            if lease := Lease.of(request.name):
                lease.owned().write()
            server.start(request)
        finally:
            os._exit(0)
    return pid


def nothing_stays_of(request: Request) -> bool:
    """Wait until all of a container is gone, its cable too."""
    cables = {one.near for one in request.plan if isinstance(one, ConnectVeth)}

    def is_gone() -> bool:
        there = {name for _, name in socket.if_nameindex()}
        return nothing_is_left_of(request) and not cables & there

    return becomes_true(is_gone)


def has_its_network(stop: Stop, request: Request) -> bool:
    """Say whether a network, if it asks for one, is its own by then.

    Until then the network is its notebook's: without one it is refused.
    """
    outside = [
        (index, one)
        for index, one in enumerate(request.plan)
        if one.where is Where.OUTSIDE
    ]
    opened = [index for index, one in outside if isinstance(one, OpenNetwork)]
    waited = [index for index, one in outside if not one.meanwhile]
    return not opened or stop.before > next(n for n in waited if n > opened[0])


def assert_it_went_on(request: Request, stop: Stop) -> None:
    ending = ending_in(request.directory)
    assert ending is not None and (ending.code, ending.lost) == (7, False), stop
    assert '"still\\n"' in said(request.name), stop

"""A container from a warm fork server: as the engine will start it.

Planned from the very document that runc gets, plus an overlay; every round plans it
anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import state
from labkit.host import Host
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.plan.inserting import before
from labkit.primitives.cgroups.place import Place, places_of
from labkit.primitives.mounts import BindMount
from labkit.primitives.overlay import Overlay
from labkit.runtime.fork_server import ForkServer, Monitored
from labkit.runtime.planner import Situation, create_plan
from labkit.runtime.request import Request
from labkit.runtime.spec import Spec
from tests.bench.peers import PREFIX, write_config

# Those that the limits need, the device rules, and what pauses and ends a group.
_TREES = ("", "memory", "cpu", "pids", "devices", "freezer")


@dataclass(frozen=True)
class Served:
    """What a container is made of, but for its name."""

    server: ForkServer
    host: Host
    document: dict[str, Any]
    bundle: HostPath
    layers: Overlay

    def request(self, name: str, args: list[str] | None = None) -> Request:
        """Plan a container, from the document on."""
        document, places = self.document, self._places(name)
        if args is not None:
            document = {**document, "process": {**document["process"], "args": args}}
        kept = state.directory("filters")
        situation = Situation(name, self.bundle, places, kept_programs=kept)
        plan = create_plan(Spec.from_json(document), self.host, situation)
        with_layers = before(plan, BindMount, Plan(self.layers.mount()))
        groups = tuple(dict.fromkeys(place.directory for place in places))
        directory = state.directory(f"containers/{name}")
        return Request(name, directory, with_layers, groups)

    def start(self, name: str, args: list[str] | None = None) -> Monitored:
        """Start a container of this name."""
        return self.server.start(self.request(name, args))

    def round(self) -> dict[str, float]:
        """Start one, wait for its end, and until nothing of it is there."""
        begin = time.perf_counter()
        request = self.request(f"{PREFIX}-served")
        planned = time.perf_counter()
        box = self.server.start(request)
        ending = box.wait()
        ended = time.perf_counter()
        box.wait_until_gone()
        gone = time.perf_counter()
        if ending is None or ending.code != 0:
            raise RuntimeError(f"the container ended with {ending}")
        return {
            "fork server": ended - planned,
            "  with its planning": ended - begin,
            "  and its removal": gone - begin,
        }

    def _places(self, name: str) -> tuple[Place, ...]:
        every = places_of(f"labkit-{name}", self.host.cgroups)
        return tuple(place for place in every if place.controller in _TREES)


@contextmanager
def served(folder: Path, host: Host) -> Iterator[Served]:
    """Start a fork server of its own, and end it."""
    bundle = folder / "served"
    bundle.mkdir()
    rootfs = folder / "rootfs"
    write_config("runc", bundle, rootfs, filtered=True)
    document = json.loads((bundle / "config.json").read_text())
    server = ForkServer.at(HostPath(str(bundle)))
    try:
        with Overlay.create(f"{PREFIX}-served", (rootfs,)) as layers:
            document["root"] = {"path": layers.merged}
            yield Served(server, host, document, HostPath(str(bundle)), layers)
    finally:
        server.stop()

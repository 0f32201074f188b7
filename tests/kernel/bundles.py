"""Bundles for tests: a small root, a config.json, and the container that it becomes."""

from __future__ import annotations

import copy
import json
import os
import select
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labkit.host import Host
from labkit.linux.views import HostPath
from labkit.plan import Plan
from labkit.plan.launch import launch
from labkit.primitives.cgroups.place import Place, places_of
from labkit.runtime.planner import Situation, Target, create_plan, exec_plan
from labkit.runtime.spec import Process, Spec
from labkit.runtime.spec.node import Node
from tests.kernel.watching import becomes_true
from tests.support.skips import need

PATIENCE_S = 20
APPLETS = (
    "sh", "cat", "ls", "id", "mount", "sleep", "touch", "mkdir", "true", "stat", "kill",
    "hostname", "echo", "tty", "mknod", "ln", "ps", "env", "pwd", "dd",
)  # fmt: skip


@dataclass
class Bundle:
    """A bundle's directory, and a document that a test changes."""

    path: Path
    host: Host
    document: dict[str, Any]
    places: tuple[Place, ...] = ()
    change: Callable[[Plan], Plan] = field(default=lambda plan: plan)
    situation: dict[str, Any] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)  # what a program of ours leaves out

    @property
    def process(self) -> dict[str, Any]:
        return self.document["process"]

    @property
    def linux(self) -> dict[str, Any]:
        return self.document["linux"]

    @property
    def spec(self) -> Spec:
        return Spec.from_json(self.document)

    def plan(self) -> Plan:
        there = Situation("test", HostPath(str(self.path)), self.places)
        return create_plan(self.spec, self.host, replace(there, **self.situation))

    def write(self) -> None:
        """Write the document where a runtime of its own process finds it."""
        (self.path / "config.json").write_text(json.dumps(self.document))

    def run(self, *argv: str) -> str:
        """Return what a program in the container says; it has ended then."""
        with self.running(*argv) as container:
            container.wait()
            return container.said()

    @contextmanager
    def running(self, *argv: str) -> Iterator[Container]:
        """Start a program in a container; end it afterwards."""
        self.process["args"] = list(argv)
        plan = self.change(self.plan())
        with _launched(plan, self) as container:
            yield container


@dataclass
class Container:
    """A container that runs."""

    pid: int
    pidfd: int
    output: Path
    bundle: Bundle

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self) -> None:
        """Wait until its program has ended."""
        ended = select.select([self.pidfd], [], [], PATIENCE_S)[0]
        assert ended, f"it runs on; it said: {self.said()}"

    def says(self, text: str) -> bool:
        """Wait until its program says something; False when it doesn't."""
        return becomes_true(lambda: text in self.said())

    def status(self, name: str) -> str:
        """Return a line of /proc/PID/status, as the host sees it."""
        words = dict(line.split(":", 1) for line in self.file("status").splitlines())
        return words[name].strip()

    def file(self, name: str) -> str:
        """Return a file of /proc/PID, as the host sees it."""
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def root(self, path: str) -> Path:
        """Return a path of its own, as the host sees it."""
        return Path(f"/proc/{self.pid}/root{path}")

    @contextmanager
    def running(self, *argv: str, **process: Any) -> Iterator[Container]:
        """Start one more program in it."""
        document = {**copy.deepcopy(self.bundle.process), **process, "args": list(argv)}
        plan = exec_plan(
            Process.read(Node(document, "process.json")),
            self.bundle.spec,
            self.bundle.host,
            Target(self.pid, self.bundle.places),
        )
        with _launched(plan, self.bundle) as container:
            yield container

    def exec(self, *argv: str, **process: Any) -> str:
        """Return what one more program in it says."""
        with self.running(*argv, **process) as container:
            container.wait()
            return container.said()


@contextmanager
def _launched(plan: Plan, bundle: Bundle) -> Iterator[Container]:
    number = len(list(bundle.path.glob("said-*")))
    output = bundle.path / f"said-{number}"
    with output.open("wb") as file, open(os.devnull, "rb") as null:
        stdio = (null.fileno(), file.fileno(), file.fileno())
        launched = launch(plan, stdio=stdio)
    try:
        yield Container(launched.pid, launched.pidfd, output, bundle)
    finally:
        launched.kill()


@contextmanager
def new_bundle(host: Host) -> Iterator[Bundle]:
    """Make a bundle; its cgroup, if a test asks for one, goes with it."""
    need("busybox", host.busybox, "there is no statically linked busybox")
    # Beside the run's own state: other users can pass through there, and must.
    place = os.path.dirname(os.environ["LABKIT_STATE"])
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=place) as folder:
        Path(folder).chmod(0o755)
        made = make_bundle(Path(folder) / "bundle", host, str(host.busybox))
        yield made
        remove_places(made.places)


def make_bundle(folder: Path, host: Host, busybox: str) -> Bundle:
    """Return a bundle with a root of one program, and a document without limits."""
    binaries = folder / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(busybox, binaries / "busybox")
    for applet in APPLETS:
        (binaries / applet).symlink_to("busybox")
    (folder / "rootfs" / "etc").mkdir()
    passwd = "root:x:0:0::/root:/bin/sh\nlearner:x:1000:1000::/home/learner:/bin/sh\n"
    (folder / "rootfs" / "etc" / "passwd").write_text(passwd)
    document = json.loads(json.dumps(Spec.default().raw))
    document["process"].update(terminal=False, rlimits=[])
    document["root"]["readonly"] = False
    return Bundle(folder, host, document)


def with_cgroup(bundle: Bundle, name: str) -> None:
    """Give a bundle's container a cgroup of its own."""
    bundle.places = own_places(bundle.host, name)


def own_places(host: Host, name: str) -> tuple[Place, ...]:
    """Return where the cgroup of a test's container lies."""
    return places_of(f"/labkit-test-{name}", host.cgroups)


def remove_places(places: tuple[Place, ...]) -> None:
    """Remove it; its processes have ended."""
    for directory in {place.directory for place in places}:
        assert becomes_true(lambda there=directory: _removed(there)), directory


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # EBUSY: its last process isn't reaped yet
    return True

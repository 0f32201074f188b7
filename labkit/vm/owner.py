"""The process that keeps a learner's VM: the first notebook starts it.

    python -m labkit.vm.owner --work FOLDER     started by `summon`, never by hand

It listens on <state>/vm/run/owner.sock. Whoever connects says one of

    {"do": "kernel", "connection": ..., "directory": ..., "environment": ...,
     "parent": the pid of Jupyter}
    {"do": "status"}    {"do": "keep"}    {"do": "stop"}
    {"do": "retire"}    end, unless somebody uses the VM

A kernel lives as long as the connection on which it was asked for. The VM ends when
its last kernel has ended and a short time is over, when every Jupyter that asked for
one has ended, when QEMU ends, on `stop`, and on SIGTERM. With it goes its directory.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from labkit import state
from labkit.errors import LabError
from labkit.linux.views import HostPath
from labkit.vm import clock, initramfs, memory, places, settings
from labkit.vm.boot import Booted, boot
from labkit.vm.kernels import Kernels
from labkit.vm.lines import Lines, listen
from labkit.vm.places import ABOUT, SOCKET, START_LOCK


class Owner:
    """The loop of the owner.

    Args: booted [the VM]; idle_s [how long it stays without a kernel]; folder [where
        it listens].
    """

    def __init__(self, booted: Booted, idle_s: float, folder: Path) -> None:
        self.booted, self.vm, self.idle_s = booted, booted.vm, idle_s
        self.kernels = Kernels(booted.vm)
        self.code = initramfs.code_stamp()
        self.parents: dict[int, int] = {}  # a Jupyter's pid -> a pidfd of it
        self.kept = self.over = False
        self.idle_since: float | None = time.monotonic()
        self._rate = clock.Rate(booted.vm) if booted.resumed else None
        self._listener = listen(folder / SOCKET)
        self._selector = selectors.DefaultSelector()
        self._watch(self._listener, self._accept)
        self._watch(self.vm.agent, self._agent_said)
        self._watch(self.vm.exit_fd, self._end)

    def run(self) -> None:
        """Serve until the VM isn't needed any more."""
        while not self.over:
            for key, _ in self._selector.select(self._patience_s()):
                key.data(key.fileobj)
            self._look_whether_idle()

    def _accept(self, listener: Any) -> None:
        connection, _ = listener.accept()
        self._watch(Lines(connection), self._client_said)

    def _client_said(self, client: Any) -> None:
        messages = client.read()
        if messages is None:
            self._selector.unregister(client)
            self.kernels.let_go(client)
            client.close()
            return
        for message in messages:
            getattr(self, f"_{message.pop('do')}")(client, message)

    def _kernel(self, client: Lines, message: dict[str, Any]) -> None:
        self._watch_parent(message.pop("parent"))
        fresh = initramfs.code_stamp() != self.code
        client.say(event="accepted")
        self.kernels.add(client, message, fresh=fresh)

    def _status(self, client: Lines, message: dict[str, Any]) -> None:
        client.say(
            event="status",
            qemu=self.vm.process.pid,
            kernels=len(self.kernels.all),
            accelerator=self.booted.machine.accelerator,
            memory_mb=self.booted.machine.memory_mb,
            work=self.booted.machine.work,
            resumed=self.booted.resumed,
        )

    def _keep(self, client: Lines, message: dict[str, Any]) -> None:
        self.kept = True
        client.say(event="kept")

    def _retire(self, client: Lines, message: dict[str, Any]) -> None:
        self.over = not (self.kernels.all or self.kept)
        if not self.over:
            client.say(event="kept")

    def _stop(self, client: Lines, message: dict[str, Any]) -> None:
        self.over = True

    def _agent_said(self, agent: Any) -> None:
        for message in self.vm.messages():
            if message["event"] == "bound" and self._rate is not None:
                self._rate.ask()
            if message["event"] == "tick" and self._rate is not None:
                self._rate.check(message)
                self._rate = None
            self.kernels.heard(message)

    def _end(self, what: Any) -> None:
        print(f"QEMU ended\n{self.vm.console_tail()}", file=sys.stderr)
        self.over = True

    def _watch_parent(self, pid: int) -> None:
        if pid not in self.parents:
            try:
                self.parents[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                return  # it ended meanwhile, and its kernel's process will notice
            self._watch(self.parents[pid], lambda fd: self._parent_ended(pid))

    def _parent_ended(self, pid: int) -> None:
        fd = self.parents.pop(pid)
        self._selector.unregister(fd)
        os.close(fd)
        self.over = self.over or not (self.parents or self.kept)

    def _look_whether_idle(self) -> None:
        if self.kernels.all or self.kept:
            self.idle_since = None
        elif self.idle_since is None:
            self.idle_since = time.monotonic()
        elif time.monotonic() - self.idle_since >= self.idle_s:
            self.over = True

    def _patience_s(self) -> float | None:
        if self.idle_since is None:
            return None
        return max(self.idle_since + self.idle_s - time.monotonic(), 0)

    def _watch(self, what: Any, then: Any) -> None:
        self._selector.register(what, selectors.EVENT_READ, then)


def main() -> int:
    """Boot a VM, serve, end it; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--tell", type=int, required=True)
    arguments = parser.parse_args()
    if os.fork():
        os._exit(0)  # who summoned the VM has nobody to wait for
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is meant for a cell
    folder, booted = places.folder("run"), None
    with os.fdopen(arguments.tell, "wb") as told:
        try:
            memory.check()
            chosen = settings.from_environment()
            booted = boot(chosen, arguments.work, _say)
            owner = Owner(booted, chosen.idle_s, folder)
            _write_about(folder)
        except LabError as failed:
            told.write(json.dumps(failed.to_json()).encode())
            if booted is not None:
                booted.vm.end()
            shutil.rmtree(folder)
            return 1
    try:
        owner.run()
    finally:
        booted.vm.end()
        _tidy(folder)
    return 0


def _tidy(folder: Path) -> None:
    # Somebody may be starting the next VM, whose directory this is then.
    with state.lock(START_LOCK):
        about = json.loads((folder / ABOUT).read_text())
        if about["pid"] == os.getpid():
            shutil.rmtree(folder)


def _write_about(folder: Path) -> None:
    about = json.dumps({"pid": os.getpid(), "started": time.time()})
    state.write(HostPath(str(folder / ABOUT)), about, durable=False)


def _say(line: str) -> None:
    print(f"labkit: {line}", file=sys.stderr, flush=True)


def _on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())

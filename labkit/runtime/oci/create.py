"""The verbs create and run: from a bundle to a process that waits to be started.

    config.json -> Spec -> Plan -> launch ... AwaitStart    create ends here
                                              Exec          after `start`

What is going to be made is written down before it is made, so that a `create` which is
killed at any moment leaves nothing that the next one, or `delete --force`, can't
remove.

Reading order: create, run, make.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from labkit.errors import HostError, LabError, StateError, syscall_error
from labkit.host.machine import Host
from labkit.linux.views import HostPath
from labkit.plan.launch import launch
from labkit.plan.plan import Plan
from labkit.primitives.cgroups.place import Place, places_of
from labkit.primitives.start_gate import AwaitStart
from labkit.runtime import start_gate
from labkit.runtime.oci import ending, foreground, groups
from labkit.runtime.oci.container import Container, Record, start_time
from labkit.runtime.oci.machine import this_machine
from labkit.runtime.oci.recorded import kept_programs
from labkit.runtime.oci.start import start_created
from labkit.runtime.planner import create_plan
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec
from labkit.runtime.spec.document import document_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.runtime.oci.arguments import Given
    from labkit.runtime.oci.command import Call


def create(call: Call) -> None:
    """Make a container that waits for `start`.

    labkit-oci create [options] CONTAINER

      -b, --bundle DIR      where config.json is; else the current directory
      -f, --config FILE     the configuration, if it isn't config.json in the bundle
      --console-socket PATH where the terminal's master is sent
      --pid-file FILE       gets the number of the first process
      --preserve-fds N      descriptors 3 to 2+N stay open
      --no-pivot            where pivot_root is refused: move the root mount instead
      --no-new-keyring      keep the caller's session keyring
    """
    with contextlib.closing(foreground.console(call.given)) as console:
        make(call, console.fd)


def run(call: Call) -> int:
    """Make a container, start it, and wait for its end.

    labkit-oci run [options] CONTAINER

      -b, --bundle DIR      where config.json is; else the current directory
      -f, --config FILE     the configuration, if it isn't config.json in the bundle
      -d, --detach          don't wait
      --keep                don't delete it afterwards
      --console-socket PATH where the terminal's master is sent
      --pid-file FILE       gets the number of the first process
      --preserve-fds N      descriptors 3 to 2+N stay open
      --no-pivot            where pivot_root is refused: move the root mount instead
      --no-new-keyring      keep the caller's session keyring
      --no-subreaper        accepted: orphans go to whoever inherits them
    """
    if call.given.on("detach"):
        with contextlib.closing(foreground.console(call.given)) as console:
            start_created(*make(call, console.fd))
        return 0
    process = _spec(call.given).process
    terminal = process is not None and process.terminal
    with foreground.Foreground(call.given, terminal=terminal) as here:
        container, record = make(call, here.fd)
        try:
            start_created(container, record)
            container.unlock()
            return here.wait(record.pid)
        finally:
            if not call.given.on("keep"):
                ending.remove_if_there(container, record)


def make(call: Call, console_fd: int | None) -> tuple[Container, Record]:
    """Make a container that waits for `start`; return it, locked.

    Args: console_fd [a connected socket; None without a terminal].
    Raises: DocumentError for its configuration; StateError when it exists; what a step
        of its plan raised. Nothing is left then.
    """
    given = call.given
    container = Container(call.root, given.word(0, "the container's name"))
    spec, host = _spec(given), this_machine()
    call.log.warn_of_capabilities(spec.process)
    record = _record(container.id, spec, _bundle(given))
    _claim(container)
    try:
        places = _places(spec, host, container.id)
        record.cgroups = _groups(places, call)
        container.write_file("config.json", json.dumps(spec.raw))
        container.write(record)
        gate = start_gate.make(container.directory)
        situation = _situation(call, record, places, gate, console_fd)
        plan = create_plan(spec, host, situation)
        call.log.debug_plan(plan)
        _launch(plan, container, record, given)
    except BaseException as error:
        _undo(container, record, error)
        raise
    gate.close()
    return container, record


def _situation(
    call: Call,
    record: Record,
    places: tuple[Place, ...],
    gate: start_gate.StartGate,
    console_fd: int | None,
) -> Situation:
    return Situation(
        record.id,
        HostPath(record.bundle),
        places,
        AwaitStart(gate.start_fd, gate.answer_fd),
        console_fd,
        call.given.number("preserve-fds"),
        not call.given.on("no-pivot"),
        not call.given.on("no-new-keyring"),
        kept_programs=kept_programs(call.root),
    )


def _spec(given: Given) -> Spec:
    name = given.text("config")
    if name:
        return Spec.from_json(document_in(name), name)
    return Spec.read(HostPath(_bundle(given)))


def _bundle(given: Given) -> str:
    return os.path.realpath(given.text("bundle", "."))


def _record(name: str, spec: Spec, bundle: str) -> Record:
    return Record(
        id=name,
        bundle=bundle,
        rootfs=os.path.normpath(os.path.join(bundle, spec.root.path)),
        annotations=dict(spec.annotations),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _claim(container: Container) -> None:
    # A directory without a process, whose lock is free, is what a killed create left.
    if os.path.isdir(container.directory):
        ending.clear(container)
    container.make()


def _places(spec: Spec, host: Host, name: str) -> tuple[Place, ...]:
    path = spec.linux.cgroups_path
    # Root's at the top of each tree: our own cgroup has processes, and so can't hand
    # controllers to children. An ordinary user has nothing but what lies below it.
    top = "/" if host.privilege.root else ""
    try:
        return places_of(path or f"{top}labkit-{name}", host.cgroups)
    except HostError:
        if path:
            raise
        return ()  # nobody asked for one, and there is none to be had


def _groups(places: tuple[Place, ...], call: Call) -> dict[str, str]:
    found = {place.controller: str(place.directory) for place in places}
    if groups.frozen(found):
        raise StateError(
            "container's cgroup unexpectedly frozen: its process would never begin",
            "thaw it, or name another one in linux.cgroupsPath",
        )
    if groups.pids(found):
        call.log.warn(f"the container's cgroup is not empty: {places[0].directory}")
    return found


def _launch(plan: Plan, container: Container, record: Record, given: Given) -> None:
    launched = launch(plan, until=AwaitStart)
    record.pid, record.pid_start = launched.pid, start_time(launched.pid)
    container.write(record)
    if path := given.text("pid-file"):
        write_pid(path, record.pid)
    # Last, because up to here the inside ends with this process.
    launched.leave()
    launched.close()


def write_pid(path: str, pid: int) -> None:
    """Write a process's number into a file, as a whole.

    Raises: ENOENT, EACCES with the file's name.
    """
    folder, name = os.path.split(path)
    fresh = os.path.join(folder, f".{name}")
    try:
        with open(fresh, "w") as file:
            file.write(str(pid))
        os.rename(fresh, path)
    except OSError as refused:
        raise syscall_error(f'open("{path}", O_WRONLY)', refused.errno or 0) from None


def _undo(container: Container, record: Record, error: BaseException) -> None:
    try:
        ending.remove(container, record)
    except LabError as problem:
        # The first error is the one to read; what is left, the next delete removes.
        error.add_note(f"and removing {container.id} failed: {problem}")

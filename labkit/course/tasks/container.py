"""Exercise 07: a container from the learner's own steps. Its other task: `holes`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labkit.course.attempt import ask
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import holes
from labkit.course.tasks.holes import WANTED
from labkit.course.verdict import Failed, Saw, Stage
from labkit.errors import LabError
from labkit.linux import proc
from labkit.linux.flags import CLONE, MS, NamespaceType
from labkit.linux.syscalls import Linux
from labkit.linux.views import HostPid
from labkit.plan import Child, Plan, step
from labkit.primitives.cgroups import Cgroup
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import JoinNamespaces, Namespaces, Unshare
from labkit.primitives.overlay import Overlay
from labkit.primitives.process import Exec
from labkit.rootfs import rootfs

MyPlan = Callable[[str, Overlay, str, int, list[str]], Plan]

_MIB = 2**20
_VIEWS = {"/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}


def check_my_plan(my_plan: MyPlan, case: Case) -> Saw:
    """Start what the plan makes, and ask Linux about it, from outside."""
    name, memory = case.seed.name(), case.seed.number(48, 96) * _MIB
    with ExitStack() as held:
        layers = held.enter_context(Overlay.create(name, [rootfs("alpine")]))
        group = held.enter_context(Cgroup.create(name, case.host))
        arguments = (name, layers, group.path("memory"), memory, ["sleep", "600"])
        plan = _plan_of(ask(my_plan, *arguments))
        stage = held.enter_context(_stage())
        pid = held.enter_context(_started(plan, stage))
        _must_be_first(pid)
        _must_be_in(group, pid, memory)
        _must_be_locked(pid, stage.pid)
        _must_be_alone(pid, stage.pid, name)
        _must_have_its_own_layer(pid, layers, case.seed.secret())
        return Saw("PID 1 of a world of its own, in its cgroup, on its own layer")


@contextmanager
def _stage() -> Iterator[Child]:
    # A child plays the host, with mounts that are shared, as systemd's are: what a
    # wrong plan mounts there goes with it.
    def share(linux: Linux) -> None:
        linux.mount(None, "/", None, MS.REC | MS.SHARED)

    with Plan(Unshare(CLONE.NEWNS), MakePrivate("/"), step(share)).fork() as child:
        child.run()
        yield child


def _plan_of(made: object) -> Plan:
    if not isinstance(made, Plan):
        raise Failed(f"it returned a {type(made).__name__}; a Plan was asked for")
    if not made.steps or not made.steps[-1].replaces:
        raise Failed("the plan ends without a program: which step is the last one?")
    return made


@contextmanager
def _started(plan: Plan, stage: Child) -> Iterator[HostPid]:
    # Unchecked, because the rules of the lab's steps know nothing of functions.
    enter = JoinNamespaces(stage.pid, CLONE.NEWNS)
    with Plan(enter, plan).fork(unchecked=True) as child:
        try:
            child.run()
        except LabError as refused:
            why = f" ({refused.meaning})" if refused.meaning else ""
            number = len(child.events) - 1
            raise _failed(f"step {number} failed: {refused.message}{why}") from refused
        yield child.pid


def _must_be_first(pid: HostPid) -> None:
    numbers = proc.process(pid).pids
    if len(numbers) == len(proc.process("self").pids):
        raise _failed(
            "it is no PID 1: its number is the same inside and outside. unshare sends "
            "only children into a new PID namespace. Which step makes one?"
        )
    if numbers[-1] != 1:
        raise _failed("it has a PID namespace of its own, and is not the first in it")


def _must_be_in(group: Cgroup, pid: HostPid, memory: int) -> None:
    if pid not in group.pids():
        raise _failed(
            "it isn't in its cgroup: the limit holds for nobody. Which step moves it "
            "in?"
        )
    if group.read("memory") != memory:
        raise _failed("its cgroup has not the memory limit that was asked for")


def _must_be_alone(pid: HostPid, host: HostPid, name: str) -> None:
    shared = WANTED - (Namespaces.of(pid) - Namespaces.of(host))
    if shared:
        kinds = [kind.value for kind in NamespaceType if kind in shared]
        raise _failed(f"it still shares with the host: {', '.join(kinds)}")
    told = _asked(pid, NamespaceType.UTS, "uname", "-n")
    if told != name:
        raise _failed(f"its host name is {told}; it was to be called {name}")
    seen = [entry for entry in os.listdir(f"/proc/{pid}/root/proc") if entry.isdigit()]
    if not seen:
        raise _failed("its /proc is empty, and ps shows nothing. Who mounts it?")
    if len(seen) > 1:
        raise _failed(
            "its /proc shows processes that aren't its own. A proc mount shows the "
            "namespace of whoever mounts it: who was that, before Fork?"
        )


def _asked(pid: HostPid, kind: NamespaceType, *argv: str) -> str:
    asking = Plan(JoinNamespaces(pid, kind.clone), Exec(argv))
    return asking.run(timeout_s=20).stdout.strip()


def _must_be_locked(pid: HostPid, host: HostPid) -> None:
    mounts, outside = proc.mounts(pid), proc.mounts(host)
    root = [mount for mount in mounts if mount.target == "/"][-1]
    # The host may have overlays of its own, and its root may be one: an overlay is
    # told by its layers, which are in its options.
    on_the_host = [mount for mount in outside if mount.fstype == "overlay"]
    at_home = [mount for mount in on_the_host if mount.target == "/"]
    if root.fstype != "overlay" or _same(root, at_home):
        raise _failed("its root is no overlay: it doesn't stand on the layers")
    hosts = {mount.target for mount in outside}
    kept = {mount.target for mount in mounts} & hosts - _VIEWS
    if kept:
        raise _failed(
            f"{len(kept)} mounts of the host are still in its tree: the old root was "
            "not let go"
        )
    if _same(root, on_the_host):
        raise _failed(
            "the host sees the overlay as well: / was still shared when it was "
            "mounted. Which step cuts that off?"
        )


def _same(overlay: proc.Mount, others: list[proc.Mount]) -> bool:
    return any(one.super_options == overlay.super_options for one in others)


def _must_have_its_own_layer(pid: HostPid, layers: Overlay, secret: str) -> None:
    Path(f"/proc/{pid}/root/root/{secret}").write_text(secret)
    if not os.path.exists(f"{layers.upperdir}/root/{secret}"):
        raise _failed("what it writes doesn't arrive in its upper layer")


def _failed(observed: str) -> Failed:
    return Failed(observed, Stage.LINUX)


# The functions of six chapters, and a plan of them that is right.
_FUNCTIONS = """
def limit_memory(linux, cgroup, memory):
    for file in ("memory.max", "memory.limit_in_bytes"):
        if os.path.exists(f"{cgroup}/{file}"):
            linux.write_file(f"{cgroup}/{file}", str(memory))

def join_cgroup(linux, cgroup):
    linux.write_file(f"{cgroup}/cgroup.procs", "0")

def new_world(linux, hostname):
    linux.unshare(CLONE.NEWNS | CLONE.NEWPID | CLONE.NEWNET | CLONE.NEWUTS
                  | CLONE.NEWIPC | CLONE.NEWCGROUP)
    linux.sethostname(hostname)

def stack_layers(linux, lower, upper, work, target):
    options = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}"
    linux.mount("overlay", target, "overlay", 0, options)

def lock_root(linux, path):
    linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
    linux.mount(path, path, None, MS.BIND | MS.REC)
    linux.chdir(path)
    linux.pivot_root(".", ".")
    linux.umount2(".", MNT.DETACH)
    linux.chdir("/")

def my_plan(name, layers, cgroup, memory, argv):
    lower, root = list(layers.lowerdirs), layers.merged
    return Plan(
        step(limit_memory, cgroup, memory),
        step(join_cgroup, cgroup),
        step(new_world, name),
        MakePrivate("/"),
        step(stack_layers, lower, layers.upperdir, layers.workdir, root),
        Fork(),
        step(lock_root, root),
        MountFilesystem("proc", "/proc"),
        Exec(argv),
    )
"""


def _without(name: str, line: str, says: str) -> Mistake:
    assert line in _FUNCTIONS
    return Mistake(name, _FUNCTIONS.replace(line, ""), says)


_PROC = '        MountFilesystem("proc", "/proc"),\n'
_TOO_EARLY = '        MountFilesystem("proc", f"{root}/proc"),\n'
_FORK = "        Fork(),\n"

MY_PLAN = Task(
    id="07.1",
    sentence="Put the steps of six chapters in order: a container of your own making.",
    points=4,
    level=Level.MEDIUM,
    size="about ten lines",
    question=Question(
        "Which of your functions must come before Fork, or it is too late?",
        ("new_world", "stack_layers", "lock_root"),
    ),
    hints=(
        "Print the plan of a container of the chapter, and its reasons(). Which line "
        "is which function of yours?",
        "step(function, argument, ...) makes a step of a function. Four steps are the "
        'lab\'s: MakePrivate("/"), Fork(), MountFilesystem("proc", ...), Exec(argv).',
        "limit_memory, join_cgroup, new_world, MakePrivate, stack_layers, Fork, "
        'lock_root, MountFilesystem("proc", "/proc"), Exec.',
    ),
    functions=("my_plan",),
    check=check_my_plan,
    needs=("namespaces", "overlay mounts", "upper directories", "memory limits"),
    kept=True,
    mistakes=(
        _without("forgets Fork", _FORK, "it is no PID 1"),
        Mistake(
            "mounts proc before Fork",
            _FUNCTIONS.replace(_PROC, "").replace(_FORK, _TOO_EARLY + _FORK),
            "who was that, before Fork?",
        ),
        _without("forgets proc", _PROC, "its /proc is empty"),
        _without(
            "stays outside the cgroup",
            "        step(join_cgroup, cgroup),\n",
            "the limit holds for nobody",
        ),
        _without(
            "leaves the mounts shared",
            '        MakePrivate("/"),\n',
            "the host sees the overlay as well",
        ),
        _without(
            "forgets to lock the root",
            "        step(lock_root, root),\n",
            "its root is no overlay",
        ),
    ),
)

EXERCISE = Exercise(
    "07",
    "Exercise 07: Your first container",
    "Start a container with your own runtime, then find the walls that others lack.",
    "07_your_first_container.ipynb",
    (MY_PLAN, holes.FIND_HOLES),
)

"""Exercise 09: a config.json of one's own. Its second task is in `first_process`."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.course.attempt import ask
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import first_process
from labkit.course.verdict import Failed, Saw
from labkit.errors import DocumentError, LabError
from labkit.linux.flags import CLONE
from labkit.linux.proc import process
from labkit.plan import Child, Plan
from labkit.primitives.cgroups.place import Place, places_of
from labkit.primitives.namespaces import JoinNamespaces
from labkit.primitives.process import Exec
from labkit.rootfs import rootfs
from labkit.runtime.burial import clear
from labkit.runtime.planner import create_plan
from labkit.runtime.situation import Situation
from labkit.runtime.spec import Spec

MyConfig = Callable[[dict[str, Any], list[str], str, int], dict[str, Any]]

_LIMITS = ("memory.max", "memory.limit_in_bytes")  # version 2, version 1
_NO_LIMIT = 1 << 60  # version 1 writes a huge number for none
_IDLE = ["sleep", "60"]


def check_my_config(my_config: MyConfig, case: Case) -> Saw:
    """Run what the document says; a name and a limit were made up just now."""
    name, megabytes = case.seed.name(), case.seed.number(16, 200)
    base = copy.deepcopy(Spec.default().raw)
    document = ask(my_config, base, _IDLE, name, megabytes << 20)
    if not isinstance(document, dict):
        raise Failed(f"it returned {document!r}: a document is asked for")
    if document.get("process", {}).get("terminal"):
        raise Failed("it asks for a terminal, and nobody holds its other end")
    document["root"] = {"path": os.fspath(rootfs("alpine"))}
    places = places_of(f"/labkit-check-{name}", case.host.cgroups)
    with _container(document, case, places) as child:
        argv = list(process(child.pid).argv)
        if argv != _IDLE:
            raise Failed(f"the program that runs is {argv}, and {_IDLE} was asked for")
        hostname = _hostname(child)
        if hostname != name:
            raise Failed(f"inside, the machine is called {hostname}, not {name}")
        limit = _limit(places)
        if limit is None or limit >> 20 != megabytes:
            shown = "none" if limit is None else f"{limit} bytes"
            raise Failed(
                f"its memory limit is {shown}, and {megabytes} MB were asked for: "
                "which field is that, and in which unit?"
            )
    return Saw("the program runs, with its name and within its memory")


@contextmanager
def _container(
    document: dict[str, Any], case: Case, places: tuple[Place, ...]
) -> Iterator[Child]:
    situation = Situation("check", case.folder, places)
    try:
        plan = create_plan(Spec.from_json(document), case.host, situation)
    except DocumentError as error:
        raise Failed(f"{error.message} {error.meaning}") from None
    try:
        with plan.fork() as child:
            child.run()
            yield child
    except LabError as error:
        raise Failed(f"it could not be made: {error.message}") from None
    finally:
        clear(tuple(dict.fromkeys(place.directory for place in places)))


def _hostname(child: Child) -> str:
    there = Plan(JoinNamespaces(child.pid, CLONE.NEWUTS), Exec(["uname", "-n"]))
    return there.run().stdout.strip()


def _limit(places: tuple[Place, ...]) -> int | None:
    for place in places:
        for name in _LIMITS:
            path = Path(place.directory, name)
            if path.exists():
                text = path.read_text().strip()
                return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None
    return None


MY_CONFIG = Task(
    id="09.1",
    sentence="Write a config.json: a program, a name, and how much memory it may take.",
    points=3,
    level=Level.EASY,
    size="about six lines",
    question=Question(
        "Your document has the limit, but not the namespaces' list. What does the "
        "runtime do?",
        ("it takes the usual six", "it makes none", "it refuses the document"),
    ),
    hints=(
        "Look at the chapter's first cells: where did args, hostname and the limit go?",
        "process.args, process.terminal, hostname, linux.resources.memory.limit.",
        'base["process"]["args"] = argv; base["process"]["terminal"] = False; '
        'base["hostname"] = hostname; base["linux"]["resources"]["memory"] = '
        '{"limit": limit}; return base.',
    ),
    functions=("my_config",),
    check=check_my_config,
    needs=("root", "memory limits"),
    kept=True,
    mistakes=(
        Mistake(
            "leaves the terminal on",
            """
def my_config(base, argv, hostname, limit):
    base["process"]["args"] = argv
    base["hostname"] = hostname
    base["linux"]["resources"]["memory"] = {"limit": limit}
    return base
""",
            "nobody holds its other end",
        ),
        Mistake(
            "forgets the limit",
            """
def my_config(base, argv, hostname, limit):
    base["process"].update(args=argv, terminal=False)
    base["hostname"] = hostname
    return base
""",
            "its memory limit is none",
        ),
        Mistake(
            "writes the limit as text",
            """
def my_config(base, argv, hostname, limit):
    base["process"].update(args=argv, terminal=False)
    base["hostname"] = hostname
    base["linux"]["resources"]["memory"] = {"limit": str(limit)}
    return base
""",
            "/linux/resources/memory/limit",
        ),
        Mistake(
            "gives no name",
            """
def my_config(base, argv, hostname, limit):
    base["process"].update(args=argv, terminal=False)
    base["linux"]["resources"]["memory"] = {"limit": limit}
    return base
""",
            "inside, the machine is called",
        ),
        Mistake(
            "changes the document, and returns nothing",
            """
def my_config(base, argv, hostname, limit):
    base["hostname"] = hostname
""",
            "a document is asked for",
        ),
    ),
)

EXERCISE = Exercise(
    chapter="09",
    title="The runtime",
    text="Two tasks: what a runtime is told, and what its first process must do.",
    notebook="09_the_runtime.ipynb",
    tasks=(MY_CONFIG, first_process.BE_INIT),
)

"""Exercise 06: layers become one tree. Its other task is in `whiteout`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from labkit.course.attempt import Run, as_root, attempt, rehearse
from labkit.course.task import Case, Exercise, Level, Mistake, Question, Task
from labkit.course.tasks import whiteout
from labkit.course.tasks.whiteout import folder, listing
from labkit.course.verdict import Saw
from labkit.linux import proc
from labkit.linux.flags import CLONE
from labkit.linux.syscalls import Linux
from labkit.plan import Plan
from labkit.primitives.mounts import MakePrivate
from labkit.primitives.namespaces import Unshare

StackLayers = Callable[[Linux, list[str], str, str, str], None]

_OWN_MOUNTS = Plan(Unshare(CLONE.NEWNS), MakePrivate("/"))
_FOLDERS = ("upper", "work", "merged")


def check_stack_layers(stack_layers: StackLayers, case: Case) -> Saw:
    """Three layers that all have a file of one name; then a file is written."""
    _must_have_options(rehearse(stack_layers, ["top", "bottom"], *_FOLDERS))
    name = case.seed.name()
    lower = [_layer(case, f"{place}-{name}") for place in ("top", "middle", "bottom")]
    upper, work, target = (folder(case, f"{f}-{name}") for f in _FOLDERS)
    before = [listing(layer) for layer in lower]
    args = ([str(layer) for layer in lower], str(upper), str(work), str(target))
    first = as_root(case.host) + _OWN_MOUNTS
    with attempt(stack_layers, *args, first=first) as run:
        mounted = [one.fstype for one in proc.mounts(run.pid) if one.target == args[3]]
        run.must(mounted, "nothing is mounted on target: the fifth argument says where")
        run.must(mounted[-1] == "overlay", f"on target is mounted: {mounted[-1]}")
        merged = Path(f"/proc/{run.pid}/root{target}")
        _must_be_in_order(run, merged, lower)
        (merged / name).write_text(case.seed.secret())
        run.must(
            not (work / name).exists(),
            "a new file went to work: upper and work have changed places",
        )
        run.must((upper / name).exists(), "a new file did not go to upper")
        run.must(before == [listing(layer) for layer in lower], "a lower layer changed")
        return run.saw("three layers are one tree, and a new file is in upper only")


def _must_have_options(rehearsed: Run) -> None:
    made = [call.text for call in rehearsed.calls if call.name == "mount"]
    if "fsopen" in rehearsed.names:
        return  # the new mount API: what it makes is seen on Linux
    rehearsed.must(made, "nothing was mounted. Which call lays directories together?")
    wanted = {
        "lowerdir": "what is it laid over?",
        "upperdir": "without one the tree can only be read",
        "workdir": "Linux wants a place to work in beside the upper layer",
    }
    for option, why in wanted.items():
        said = any(f"{option}=" in text for text in made)
        rehearsed.must(said, f"the options name no {option}: {why}")


def _must_be_in_order(run: Run, merged: Path, lower: list[Path]) -> None:
    seen = (merged / "who").read_text() if (merged / "who").exists() else ""
    run.must(
        seen != lower[-1].name,
        "of a file that all layers have, that of the last one is seen; lower has the "
        "top one first. From which side does Linux read lowerdir?",
    )
    run.must(seen == lower[0].name, "the first of the lower layers is not on top")
    missing = [layer for layer in lower if not (merged / layer.name).exists()]
    run.must(
        not missing, f"{len(missing)} of {len(lower)} lower layers are not in the tree"
    )


def _layer(case: Case, name: str) -> Path:
    layer = folder(case, name)
    for file in ("who", name):
        (layer / file).write_text(name)
    return layer


STACK_LAYERS = Task(
    id="06.1",
    sentence="Give your runtime its layers: several below, one above, one tree.",
    points=2,
    level=Level.EASY,
    size="about three lines",
    question=Question(
        "lower is [base with your changes, base]. What does lowerdir= look like?",
        ("changes:base", "base:changes", "changes,base"),
    ),
    hints=(
        "The function `lay` of the chapter does it for one lower layer. Print "
        "one.mount().options() for a stack of two.",
        "It is one mount of the type overlay. Its last argument has three options, "
        "with commas between them; in lowerdir, colons stand between the layers, the "
        "top one first.",
        'linux.mount("overlay", target, "overlay", 0, options), and options = '
        'f"lowerdir={...},upperdir={upper},workdir={work}"; ":".join(lower) helps.',
    ),
    functions=("stack_layers",),
    check=check_stack_layers,
    needs=("namespaces", "overlay mounts", "upper directories"),
    kept=True,
    mistakes=(
        Mistake(
            "turns the stack upside down",
            """
def stack_layers(linux, lower, upper, work, target):
    layers = ":".join(reversed(lower))
    options = f"lowerdir={layers},upperdir={upper},workdir={work}"
    linux.mount("overlay", target, "overlay", 0, options)
""",
            "From which side",
        ),
        Mistake(
            "swaps upper and work",
            """
def stack_layers(linux, lower, upper, work, target):
    options = f"lowerdir={':'.join(lower)},upperdir={work},workdir={upper}"
    linux.mount("overlay", target, "overlay", 0, options)
""",
            "have changed places",
        ),
        Mistake(
            "forgets workdir",
            """
def stack_layers(linux, lower, upper, work, target):
    options = f"lowerdir={':'.join(lower)},upperdir={upper}"
    linux.mount("overlay", target, "overlay", 0, options)
""",
            "no workdir",
        ),
        Mistake(
            "takes the first lower layer only",
            """
def stack_layers(linux, lower, upper, work, target):
    options = f"lowerdir={lower[0]},upperdir={upper},workdir={work}"
    linux.mount("overlay", target, "overlay", 0, options)
""",
            "2 of 3 lower layers",
        ),
    ),
)

EXERCISE = Exercise(
    "06",
    "Exercise 06: OverlayFS",
    "Stack the layers of your runtime, then write the mark by which a file disappears.",
    "06_overlayfs.ipynb",
    (STACK_LAYERS, whiteout.HIDE_FILE),
)

"""What a chapter's cells call: one name for everything that isn't the subject itself.

    ready("02")              what of this chapter is real on this machine
    box, folder, marker      things to break, a place of yours, a file to steal
    predict, recall          say what you expect, then see it beside what happened
    fails("EBUSY", plan)     run what must fail, with that errno
    watch, meter, layers, image, compare, figure      the live views
    beside(["uname", "-r"])  one command in a container and in a virtual machine
    source(Chroot)           the code of anything, with its man pages
    card, check, hint        the exercise, its checks, and a way on
    keep, my_container, catch_up     your own runtime
    download, restore        your work in one file, away and back
    left()                   what is left on this host

Without Jupyter each returns the same as text.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit import doctor, sweep
from labkit.course import catch_up, check, keep, my_container, parcel, progress, tasks
from labkit.course.card import card_of
from labkit.course.folder import Folder
from labkit.course.marker import Marker
from labkit.errors import DocumentError, LabError
from labkit.host import probe
from labkit.plan import Child, Event, Plan, handle
from labkit.primitives.cgroups import Cgroup, CgroupReading
from labkit.primitives.cgroups.leaf import make_room
from labkit.primitives.namespaces import Namespaces
from labkit.primitives.overlay import Overlay
from labkit.rootfs.box import Box
from labkit.text import Text

if TYPE_CHECKING:
    from labkit.image.image import Image
    from labkit.vm.beside import Beside
    from labkit.widgets.card import ExerciseCard
    from labkit.widgets.download import Download
    from labkit.widgets.figure import Figure
    from labkit.widgets.image_layers import ImageLayers
    from labkit.widgets.layers_view import LayersView
    from labkit.widgets.meter import Meter
    from labkit.widgets.namespaces_view import NamespacesView
    from labkit.widgets.plan_view import PlanView
    from labkit.widgets.prediction import Prediction, Recollection

__all__ = [
    "beside",
    "box",
    "card",
    "catch_up",
    "check",
    "compare",
    "download",
    "fails",
    "figure",
    "folder",
    "hint",
    "image",
    "keep",
    "layers",
    "left",
    "marker",
    "meter",
    "my_container",
    "predict",
    "ready",
    "recall",
    "restore",
    "source",
    "watch",
]


@dataclass(frozen=True, slots=True)
class Readiness:
    """What of a chapter is real here; its picture has the whole report, folded."""

    report: doctor.Report
    chapter: str

    def __repr__(self) -> str:
        return self.report.line(self.chapter)

    def _repr_html_(self) -> str:
        from labkit.widgets.doctor_card import doctor_card
        from labkit.widgets.html import page

        return page(doctor_card(self.report, self.chapter))


def ready(chapter: str) -> Readiness:
    """Say what of a chapter is real on this machine; the first cell of each chapter.

    It also teaches this notebook the lab's pictures, and its errors in three lines.
    """
    from labkit.widgets import formatters

    formatters.register()
    host = probe()
    if host.cgroups.crowded and not host.privilege.root:
        # A scope of an ordinary user's own holds the lab: it moves aside, once.
        make_room(host)
        host = probe()
    return Readiness(doctor.examine(host), chapter)


def box(name: str) -> Box:
    """Return a small file tree of your own, to enter and to break."""
    return Box.create(name)


def folder(name: str) -> Folder:
    """Return an empty folder of your own."""
    return Folder.create(name)


def marker(name: str) -> Marker:
    """Return a file outside, with a secret in it."""
    return Marker.create(name)


def predict(id: str, question: str = "", options: Sequence[str] = ()) -> Prediction:
    """Ask what you expect, before the cell that shows it.

    Args: id ["02-escape", or a task's id: its question is known]; question; options.
    """
    from labkit.widgets import prediction

    if not question:
        asked = tasks.task(id).question
        question, options = asked.text, asked.options
    return prediction.predict(id, question, options, progress)


def recall(id: str) -> Recollection:
    """Show again what you predicted."""
    from labkit.widgets import prediction

    return prediction.recall(id, progress)


def fails(name: str, what: Plan | Callable[[], object]) -> LabError:
    """Run what must fail; return its error, whose three lines are shown.

    Args: name [of an errno, "EBUSY", or of an error of the lab's, "WrongProcess"]; what
        [a plan, in whatever order, or a function].
    Raises: AssertionError when it succeeds, or fails in another way.
    """
    try:
        if isinstance(what, Plan):
            with what.fork(unchecked=True) as child:
                child.run()
        else:
            what()
    except LabError as error:
        if name in (getattr(error, "errno_name", ""), type(error).__name__):
            # Without its frames: they would keep the children in them alive.
            return error.with_traceback(None)
        raise AssertionError(f"{name} was announced, and it was:\n{error}") from error
    raise AssertionError(f"{name} was announced, and nothing failed")


def watch(child: Child | Sequence[Event]) -> PlanView:
    """Show a child's plan, step by step, with the system calls that it makes."""
    from labkit.widgets.plan_view import PlanView

    return PlanView(child)


def meter(cgroup: Cgroup, *knobs: str) -> Meter:
    """Show what a group uses, live, with its limits to drag.

    Args: knobs ["memory", "cpu", "pids"; memory if none is named].
    """
    from labkit.widgets.meter import Meter

    return Meter(cgroup, knobs or ("memory",))


def layers(overlay: Overlay) -> LayersView:
    """Show an overlay's layers, and the tree that they make."""
    from labkit.widgets.layers_view import LayersView

    return LayersView(overlay)


def image(image: Image) -> ImageLayers:
    """Show an image's layers, what made each, and what each has brought."""
    from labkit.image.trees import Trees
    from labkit.image.view import ImageView
    from labkit.widgets.image_layers import ImageLayers

    return ImageLayers(ImageView.of(image, Trees.default()))


def compare(before: Namespaces, after: Namespaces, **looks: Any) -> NamespacesView:
    """Show which namespaces two processes share."""
    from labkit.widgets.namespaces_view import NamespacesView

    return NamespacesView(before, after, **looks)


def beside(argv: Sequence[str]) -> Beside:
    """Run a command in a container and in a virtual machine; show what each took."""
    from labkit.vm.beside import beside

    return beside(argv)


def figure(title: str = "", **series: Sequence[CgroupReading]) -> Figure:
    """Draw what was measured: `memory`, `cpu`, `pids`, each a series of readings."""
    from labkit.widgets.figure import figure

    return figure(title, **series)


def source(thing: Any) -> Text:
    """Return the code of anything in the lab, with where it is and its man pages.

    Raises: DocumentError when it has no source: it was made in C, or is a value.
    """
    try:
        lines, first = inspect.getsourcelines(thing)
        module = inspect.getmodule(thing)
    except (TypeError, OSError):
        raise DocumentError(
            f"{thing!r}: no source",
            "name a class, a function or a module: lab.source(Chroot)",
            meaning="only what was written in Python has one",
        ) from None
    where = module.__name__.replace(".", "/") if module else "this notebook"
    pages = ", ".join(getattr(thing, "man", ()))
    head = f"# {where}.py, line {max(first, 1)}, {len(lines)} lines"
    head += f" (see {pages})" if pages else ""
    return Text(f"{head}\n\n{''.join(lines).rstrip()}")


def card(chapter: str) -> ExerciseCard:
    """Show a chapter's exercise: its tasks, hints, and how far you are."""
    from labkit.widgets.card import ExerciseCard

    return ExerciseCard(card_of(tasks.exercise(chapter)))


def hint(id: str) -> Text:
    """Return the next hint of a task: where to look, which call, the answer's shape.

    Raises: DocumentError for an unknown task.
    """
    asked = tasks.task(id)
    level = min(progress.standing(id).hints + 1, len(asked.hints))
    progress.note_hint(id, level)
    return Text(f"{id}, hint {level} of {len(asked.hints)}: {asked.hints[level - 1]}")


def download() -> Download:
    """Return all your work as one file, with a link that saves it on your computer."""
    from labkit.widgets.download import Download

    path = parcel.save(parcel.FILE)
    return Download(path, path.read_bytes())


def restore(file: str = parcel.FILE) -> parcel.Restored:
    """Bring your work back from a file that `download` has made; nothing gets lost.

    Args: file [beside my_container.py, or an absolute path].
    """
    return parcel.restore(file)


def left() -> Text:
    """Say what is left on this host: by this notebook, and by what has crashed."""
    crashed = [str(one) for one in sweep.left()]
    mine = [f"{one.kind} {one.name}: yours, and still there" for one in _own_records()]
    return Text("\n".join([*mine, *crashed]) or sweep.NOTHING)


def _own_records() -> tuple[handle.Record, ...]:
    return tuple(one for one in handle.records() if one.ours)
